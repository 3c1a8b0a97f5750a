"""Merchants: Signature-V2 alone, networks, how many payments may be open, how many balances are sent"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = '0006'
down_revision = '0008'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('merchants', sa.Column('v2_only', sa.Boolean(), nullable=False, server_default='0'))
    op.add_column('merchants', sa.Column('networks', sa.Text(), nullable=True))
    op.add_column('merchants', sa.Column('most_open', sa.Integer(), nullable=True))
    op.add_column('merchants', sa.Column('balances_since', sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql"), nullable=True))
    op.add_column('merchants', sa.Column('balances_sent', sa.Integer(), nullable=False, server_default='0'))
    op.create_index('ix_payments_merchant_id_status_due_at_sum', 'payments', ['merchant_id', 'status', 'due_at', 'sum'], unique=False)


def downgrade() -> None:
    op.drop_index('ix_payments_merchant_id_status_due_at_sum', table_name='payments')
    for name in ('balances_sent', 'balances_since', 'most_open', 'networks', 'v2_only'):
        op.drop_column('merchants', name)
