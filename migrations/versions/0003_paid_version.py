"""Which version of a payment its merchant's own accept made: money may be recorded over it"""

import sqlalchemy as sa
from alembic import op

revision = '0003'
down_revision = '0007'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('payments', sa.Column('paid_version', sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column('payments', 'paid_version')
