"""Sessions of operators: each ends by itself"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = '0012'
down_revision = '0004'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'operator_sessions',
        sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
        sa.Column('operator_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
        sa.Column('token', sa.String(length=32), nullable=False),
        sa.Column('began_at', sa.DateTime().with_variant(mysql.DATETIME(fsp=6), 'mysql'), nullable=False),
        sa.ForeignKeyConstraint(['operator_id'], ['operators.id'], name='fk_operator_sessions_operator_id', ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('id', name='pk_operator_sessions'),
        sa.UniqueConstraint('token', name='uq_operator_sessions_token'),
        mysql_engine='InnoDB',
        mysql_charset='utf8mb4',
        mysql_collate='utf8mb4_bin',
    )
    op.create_index('ix_operator_sessions_operator_id', 'operator_sessions', ['operator_id'], unique=False)


def downgrade() -> None:
    op.drop_table('operator_sessions')
