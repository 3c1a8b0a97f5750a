"""Finding payments: the payer's number in one spelling, and an index for each way to look for one"""

import re

import sqlalchemy as sa
from alembic import op

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None

BATCH = 5000  # payments in one transaction: nobody waits longer than for those
INDEXES = {
    'ix_payments_merchant_id_status_opened_at': ('payments', ['merchant_id', 'status', 'opened_at']),
    'ix_payments_merchant_id_payment_id': ('payments', ['merchant_id', 'payment_id']),
    'ix_payments_wallet_id_status_opened_at_merchant_id': ('payments', ['wallet_id', 'status', 'opened_at', 'merchant_id']),
    'ix_payments_sum_status_opened_at_merchant_id': ('payments', ['sum', 'status', 'opened_at', 'merchant_id']),
    'ix_payments_user_wallet_digits': ('payments', ['user_wallet_digits']),
    'ix_transfers_reference': ('transfers', ['reference']),
}
DIALLED = ('', '0', '994', '00994', '9940', '009940')
FILL = {
    'sqlite': 'UPDATE payments SET user_wallet_digits = cerber_digits(user_wallet) WHERE id BETWEEN :first AND :last',
    'mysql': r"""
        UPDATE payments SET user_wallet_digits = CASE
        WHEN user_wallet NOT REGEXP '^[-0-9+(). {nbsp}/]*[0-9][-0-9+(). {nbsp}/]*$' THEN NULL
        WHEN LEFT(REGEXP_REPLACE(user_wallet, '[^0-9]', ''), CHAR_LENGTH(REGEXP_REPLACE(user_wallet, '[^0-9]', '')) - 9)
        IN ('', '0', '994', '00994', '9940', '009940') THEN RIGHT(REGEXP_REPLACE(user_wallet, '[^0-9]', ''), 9)
        ELSE REGEXP_REPLACE(user_wallet, '[^0-9]', '') END WHERE id BETWEEN :first AND :last""".replace('{nbsp}', '\u00a0'),
}


def upgrade() -> None:
    """May be run again where it was stopped halfway: MySQL keeps each step of it."""
    bind = op.get_bind()
    if 'user_wallet_digits' not in {column['name'] for column in sa.inspect(bind).get_columns('payments')}:
        op.add_column('payments', sa.Column('user_wallet_digits', sa.String(length=64), nullable=True))
    with op.get_context().autocommit_block():
        fill(op.get_bind())
    for name, (table, columns) in INDEXES.items():
        if name not in {index['name'] for index in sa.inspect(bind).get_indexes(table)}:
            op.create_index(name, table, columns, unique=False)


def downgrade() -> None:
    for name, (table, _) in reversed(INDEXES.items()):
        op.drop_index(name, table_name=table)
    op.drop_column('payments', 'user_wallet_digits')


def fill(bind: sa.Connection) -> None:
    if bind.dialect.name == 'sqlite':
        bind.connection.driver_connection.create_function('cerber_digits', 1, digits)
    first = bind.scalar(sa.text('SELECT MIN(id) FROM payments')) or 0
    last = bind.scalar(sa.text('SELECT MAX(id) FROM payments')) or -1
    for start in range(first, last + 1, BATCH):
        bind.execute(sa.text(FILL[bind.dialect.name]), {'first': start, 'last': start + BATCH - 1})


def digits(wallet: str) -> str | None:
    """`cerber.payments.payers.digits` as it was when this was written."""
    found = re.sub(r'[^0-9]', '', wallet) if re.fullmatch('[0-9+(). \u00a0/-]+', wallet) else ''
    return (found[-9:] if found[:-9] in DIALLED else found) or None
