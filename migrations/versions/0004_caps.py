"""A gate for each merchant: its payments are opened through it one after the other, so that they can be counted"""

import sqlalchemy as sa
from alembic import op

revision = '0004'
down_revision = '0011'
branch_labels = None
depends_on = None

MYSQL = {'mysql_charset': 'utf8mb4', 'mysql_collate': 'utf8mb4_bin', 'mysql_engine': 'InnoDB'}
BIG = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')


def upgrade() -> None:
    op.create_table(
        'merchant_gates',
        sa.Column('merchant_id', BIG, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(['merchant_id'], ['merchants.id'], name=op.f('fk_merchant_gates_merchant_id')),
        sa.PrimaryKeyConstraint('merchant_id', name=op.f('pk_merchant_gates')),
        **MYSQL,
    )
    op.execute('INSERT INTO merchant_gates (merchant_id) SELECT id FROM merchants')


def downgrade() -> None:
    op.drop_table('merchant_gates')
