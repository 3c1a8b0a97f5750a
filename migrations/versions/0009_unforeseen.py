"""Failures of an event that nobody foresaw; workers that said goodbye"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = '0009'
down_revision = '0005'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('webhooks', sa.Column('unforeseen', sa.Integer(), nullable=False, server_default='0'))
    op.add_column('workers', sa.Column('stopped_at', sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql"), nullable=True))


def downgrade() -> None:
    op.drop_column('workers', 'stopped_at')
    op.drop_column('webhooks', 'unforeseen')
