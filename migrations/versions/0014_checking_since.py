"""Since when a payment is to be checked, and the indexes of the operators' desk"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = '0014'
down_revision = '0013'
branch_labels = None
depends_on = None

INDEXES = {
    'ix_payments_status_checking_since': ['status', 'checking_since'],
    'ix_payments_user_wallet_digits_status': ['user_wallet_digits', 'status'],
}
FILL = """
    UPDATE payments SET checking_since = COALESCE(
    (SELECT MAX(at) FROM audit_entries WHERE payment_id = payments.id AND action = 'merchant_accept'),
    (SELECT MIN(recorded_at) FROM transfers WHERE payment_id = payments.id AND voided_at IS NULL), opened_at)
    WHERE status = 'confirming' AND checking_since IS NULL"""


def upgrade() -> None:
    """May be run again where it was stopped halfway: MySQL keeps each step of it."""
    bind = op.get_bind()
    if 'checking_since' not in {column['name'] for column in sa.inspect(bind).get_columns('payments')}:
        moment = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), 'mysql')
        op.add_column('payments', sa.Column('checking_since', moment, nullable=True))
    op.execute(FILL)  # only what is open: few of all payments
    for name, columns in INDEXES.items():
        if name not in {index['name'] for index in sa.inspect(bind).get_indexes('payments')}:
            op.create_index(name, 'payments', columns, unique=False)


def downgrade() -> None:
    for name in reversed(INDEXES):
        op.drop_index(name, table_name='payments')
    op.drop_column('payments', 'checking_since')
