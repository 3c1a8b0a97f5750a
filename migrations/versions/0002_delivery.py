"""Delivery: breakers, figures, and what a claim needs to go round the endpoints"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None

LONG_AGO = '1970-01-01 00:00:00.000000'  # SQLite adds a column that may not be NULL only with a default


def moment() -> sa.types.TypeEngine:
    return sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")


def upgrade() -> None:
    op.create_table('breakers',
    sa.Column('endpoint_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=False, nullable=False),
    sa.Column('failures', sa.Integer(), nullable=False),
    sa.Column('probes', sa.Integer(), nullable=False),
    sa.Column('why', sa.String(length=250), nullable=False),
    sa.Column('held_since', moment(), nullable=True),
    sa.Column('probe_at', moment(), nullable=True),
    sa.CheckConstraint('failures > 0', name=op.f('ck_breakers_failures')),
    sa.CheckConstraint('probes >= 0', name=op.f('ck_breakers_probes')),
    sa.CheckConstraint('(held_since IS NULL) = (probe_at IS NULL)', name=op.f('ck_breakers_held')),
    sa.ForeignKeyConstraint(['endpoint_id'], ['endpoints.id'], name=op.f('fk_breakers_endpoint_id')),
    sa.PrimaryKeyConstraint('endpoint_id', name=op.f('pk_breakers')),
    mysql_charset='utf8mb4',
    mysql_collate='utf8mb4_bin',
    mysql_engine='InnoDB'
    )
    op.create_index('ix_breakers_probe_at', 'breakers', ['probe_at'], unique=False)
    op.create_table('figures',
    sa.Column('name', sa.String(length=40), nullable=False),
    sa.Column('label', sa.String(length=40), nullable=False),
    sa.Column('value', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('name', 'label', name=op.f('pk_figures')),
    mysql_charset='utf8mb4',
    mysql_collate='utf8mb4_bin',
    mysql_engine='InnoDB'
    )
    for name in ('scheduled_at', 'queued_at'):
        op.add_column('webhooks', sa.Column(name, moment(), nullable=False, server_default=LONG_AGO))
    op.add_column('webhooks', sa.Column('not_before', moment(), nullable=True))
    op.add_column('webhooks', sa.Column('reopened', sa.Boolean(), nullable=False, server_default='0'))
    op.execute("UPDATE webhooks SET scheduled_at = created_at, queued_at = created_at, reopened = by_hand")
    op.add_column('webhook_attempts', sa.Column('headers', sa.String(length=500), nullable=False, server_default=''))
    op.create_index('ix_webhooks_merchant_id', 'webhooks', ['merchant_id'], unique=False)
    op.create_index('ix_webhooks_endpoint_id', 'webhooks', ['endpoint_id'], unique=False)
    op.create_index('ix_webhooks_state_endpoint_id_due_at', 'webhooks', ['state', 'endpoint_id', 'due_at'], unique=False)
    op.drop_index('ix_webhooks_endpoint_id_state_due_at', table_name='webhooks')
    op.drop_column('wallets', 'uses')


def downgrade() -> None:
    op.add_column('wallets', sa.Column('uses', sa.BigInteger(), nullable=False, server_default='0'))
    op.create_index('ix_webhooks_endpoint_id_state_due_at', 'webhooks', ['endpoint_id', 'state', 'due_at'], unique=False)
    op.drop_index('ix_webhooks_state_endpoint_id_due_at', table_name='webhooks')
    op.drop_index('ix_webhooks_endpoint_id', table_name='webhooks')
    op.create_index('fk_webhooks_merchant_id', 'webhooks', ['merchant_id'], unique=False)
    op.drop_index('ix_webhooks_merchant_id', table_name='webhooks')
    op.drop_column('webhook_attempts', 'headers')
    for name in ('reopened', 'not_before', 'queued_at', 'scheduled_at'):
        op.drop_column('webhooks', name)
    op.drop_table('figures')
    op.drop_table('breakers')
