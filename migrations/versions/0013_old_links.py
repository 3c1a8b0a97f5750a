"""A wallet's link can be edited; what a payer was shown before stays as it was"""

import sqlalchemy as sa
from alembic import op

revision = '0013'
down_revision = '0012'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('wallets', sa.Column('link_version', sa.Integer(), server_default='0', nullable=False))
    op.add_column('payments', sa.Column('link_version', sa.Integer(), server_default='0', nullable=False))
    op.create_table(
        'old_links',
        sa.Column(
            'wallet_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=False, nullable=False
        ),
        sa.Column('version', sa.Integer(), autoincrement=False, nullable=False),
        sa.Column('link', sa.String(length=1000), nullable=False),
        sa.Column('image', sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(['wallet_id'], ['wallets.id'], name=op.f('fk_old_links_wallet_id')),
        sa.PrimaryKeyConstraint('wallet_id', 'version', name=op.f('pk_old_links')),
        mysql_engine='InnoDB',
        mysql_charset='utf8mb4',
        mysql_collate='utf8mb4_bin',
    )


def downgrade() -> None:
    op.drop_table('old_links')
    op.drop_column('payments', 'link_version')
    op.drop_column('wallets', 'link_version')
