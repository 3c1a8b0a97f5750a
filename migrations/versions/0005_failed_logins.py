"""Failed log-ins: of which device, and whether the audit log tells of it"""

import sqlalchemy as sa
from alembic import op

revision = '0005'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('failed_logins', sa.Column('device', sa.String(length=32), nullable=True))
    op.add_column('failed_logins', sa.Column('told', sa.Boolean(), nullable=False, server_default='0'))
    op.create_index('ix_failed_logins_at', 'failed_logins', ['at'], unique=False)


def downgrade() -> None:
    op.drop_index('ix_failed_logins_at', table_name='failed_logins')
    op.drop_column('failed_logins', 'told')
    op.drop_column('failed_logins', 'device')
