"""The ledger: an entry for each change of money, and their sums. What payments there are is entered

Each payment gets one entry that says where its sum stands now. They are entered in batches, each with its sums in a
transaction of its own: killed, the migration goes on where it was when it is run again.
"""

import logging
import time

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = '0008'
down_revision = '0002'
branch_labels = None
depends_on = None

log = logging.getLogger('alembic.runtime.migration')

AT_ONCE = 5_000  # payments; on SQLite whoever writes waits meanwhile
TOLD_EVERY = 5.0  # seconds
WIDTHS = (1, 24, 768, 24576)  # hours
ACCOUNTS = ('ordered', 'expected', 'received', 'written_off', 'cancelled', 'overpaid')
ZERO = ' + '.join(ACCOUNTS) + ' = 0'

STANDING = """
    -sum,
    CASE WHEN status IN ('pending', 'confirming') AND sum > received THEN sum - received ELSE 0 END,
    received,
    CASE WHEN status = 'accept' AND sum > received THEN sum - received ELSE 0 END,
    CASE WHEN status = 'cancel' THEN sum ELSE 0 END,
    CASE WHEN received > sum THEN sum - received ELSE 0 END
"""
# Hours since 1970, rounded down: by way of 1900, since neither database rounds down below zero.
HOUR = {
    'sqlite': "(CAST(strftime('%s', create_time) AS INTEGER) + 2208988800) / 3600 - 613608",
    'mysql': "TIMESTAMPDIFF(SECOND, '1900-01-01', create_time) DIV 3600 - 613608",
}
PERIOD = {
    'sqlite': '((hour + 24576000) / {0}) * {0} - 24576000',
    'mysql': '((hour + 24576000) DIV {0}) * {0} - 24576000',
}
MORE = {
    'sqlite': ('ON CONFLICT (merchant_id, width, start) DO UPDATE SET', 'ledger_sums.{0} + excluded.{0}'),
    'mysql': ('ON DUPLICATE KEY UPDATE', 'ledger_sums.{0} + VALUES({0})'),
}


def big_id() -> sa.types.TypeEngine:
    return sa.BigInteger().with_variant(sa.Integer(), 'sqlite')


def accounts() -> list[sa.Column]:
    return [sa.Column(name, sa.BigInteger(), nullable=False) for name in ACCOUNTS]


def upgrade() -> None:
    create()
    with op.get_context().autocommit_block():
        enter()


def create() -> None:
    if sa.inspect(op.get_bind()).has_table('ledger_sums'):
        return  # begun before, and killed
    op.create_table('ledger_entries',
    sa.Column('id', big_id(), nullable=False),
    sa.Column('payment_id', big_id(), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('at', sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql"), nullable=False),
    sa.Column('hour', sa.Integer(), nullable=False),
    sa.Column('unfolded_merchant_id', big_id(), nullable=True),
    *accounts(),
    sa.CheckConstraint(ZERO, name=op.f('ck_ledger_entries_zero')),
    sa.ForeignKeyConstraint(['payment_id'], ['payments.id'], name=op.f('fk_ledger_entries_payment_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_ledger_entries')),
    sa.UniqueConstraint('payment_id', 'version', name=op.f('uq_ledger_entries_payment_id_version')),
    mysql_charset='utf8mb4',
    mysql_collate='utf8mb4_bin',
    mysql_engine='InnoDB',
    if_not_exists=True,
    )
    op.create_index('ix_ledger_entries_unfolded_merchant_id', 'ledger_entries', ['unfolded_merchant_id'], unique=False,
    sqlite_where=sa.text('unfolded_merchant_id IS NOT NULL'), if_not_exists=True)
    op.create_table('ledger_sums',
    sa.Column('merchant_id', big_id(), autoincrement=False, nullable=False),
    sa.Column('width', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('start', sa.Integer(), autoincrement=False, nullable=False),
    *accounts(),
    sa.CheckConstraint(ZERO, name=op.f('ck_ledger_sums_zero')),
    sa.ForeignKeyConstraint(['merchant_id'], ['merchants.id'], name=op.f('fk_ledger_sums_merchant_id')),
    sa.PrimaryKeyConstraint('merchant_id', 'width', 'start', name=op.f('pk_ledger_sums')),
    mysql_charset='utf8mb4',
    mysql_collate='utf8mb4_bin',
    mysql_engine='InnoDB',
    sqlite_with_rowid=False,
    )


def enter() -> None:
    bind = op.get_bind()
    if bind.dialect.name == 'mysql':  # else a batch would lock the payments that it reads
        bind.execute(sa.text('SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED'))
    last = bind.scalar(sa.text('SELECT MAX(id) FROM payments')) or 0
    after = bind.scalar(sa.text('SELECT MAX(payment_id) FROM ledger_entries')) or 0
    begin = sa.text('START TRANSACTION' if bind.dialect.name == 'mysql' else 'BEGIN IMMEDIATE')
    statements = [sa.text(statement) for statement in entering(bind.dialect.name)]
    told_at = time.monotonic()
    while after < last:
        batch = {'after': after, 'last': min(after + AT_ONCE, last)}
        bind.execute(begin)
        for statement in statements:
            bind.execute(statement, batch)
        bind.execute(sa.text('COMMIT'))
        after = batch['last']
        if time.monotonic() - told_at >= TOLD_EVERY or after == last:
            told_at = time.monotonic()
            log.info('The ledger: payments up to %d of %d are entered', after, last)


def entering(dialect: str) -> list[str]:
    """Enters the payments after `after` up to `last`, and adds their entries to the sums."""
    names = ', '.join(ACCOUNTS)
    entries = (
        f'INSERT INTO ledger_entries (payment_id, version, at, hour, {names}) '
        f'SELECT id, version, COALESCE(closed_at, opened_at), {HOUR[dialect]}, {STANDING} '
        'FROM payments WHERE id > :after AND id <= :last'
    )
    totals = ', '.join(f'SUM(ledger_entries.{name})' for name in ACCOUNTS)
    upsert, plus = MORE[dialect]
    added = ', '.join(f'{name} = {plus.format(name)}' for name in ACCOUNTS)
    return [entries] + [
        f'INSERT INTO ledger_sums (merchant_id, width, start, {names}) '
        f'SELECT merchant_id, {width}, {PERIOD[dialect].format(width)}, {totals} '
        'FROM ledger_entries JOIN payments ON payments.id = ledger_entries.payment_id '
        'WHERE ledger_entries.payment_id > :after AND ledger_entries.payment_id <= :last '
        f'GROUP BY 1, 2, 3 {upsert} {added}'
        for width in WIDTHS
    ]


def downgrade() -> None:
    op.drop_table('ledger_sums')
    op.drop_table('ledger_entries')
