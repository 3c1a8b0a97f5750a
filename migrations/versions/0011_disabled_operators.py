"""An operator may be disabled, and enabled again"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = '0011'
down_revision = '0010'
branch_labels = None
depends_on = None


def upgrade() -> None:
    moment = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), 'mysql')
    op.add_column('operators', sa.Column('disabled_at', moment, nullable=True))


def downgrade() -> None:
    op.drop_column('operators', 'disabled_at')
