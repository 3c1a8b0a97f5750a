"""A database that was copied elsewhere delivers nothing until it is told to go on"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = '0010'
down_revision = '0009'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'silence',
        sa.Column('id', sa.Integer(), autoincrement=False, nullable=False),
        sa.Column('since', sa.DateTime().with_variant(mysql.DATETIME(fsp=6), 'mysql'), nullable=False),
        sa.Column('why', sa.String(length=400), nullable=False),
        sa.CheckConstraint('id = 1', name=op.f('ck_silence_one')),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_silence')),
        mysql_engine='InnoDB',
        mysql_charset='utf8mb4',
        mysql_collate='utf8mb4_bin',
    )


def downgrade() -> None:
    op.drop_table('silence')
