"""The first tables"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('failed_logins',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('username', sa.String(length=64), nullable=False),
    sa.Column('address', sa.String(length=64), nullable=False),
    sa.Column('at', sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql"), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_failed_logins')),
    mysql_charset='utf8mb4',
    mysql_collate='utf8mb4_bin',
    mysql_engine='InnoDB'
    )
    op.create_index('ix_failed_logins_address_at', 'failed_logins', ['address', 'at'], unique=False)
    op.create_index('ix_failed_logins_username_at', 'failed_logins', ['username', 'at'], unique=False)
    op.create_table('merchants',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('merch_id', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=100), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('blocked_at', sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql"), nullable=True),
    sa.Column('created_at', sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql"), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_merchants')),
    sa.UniqueConstraint('merch_id', name=op.f('uq_merchants_merch_id')),
    mysql_charset='utf8mb4',
    mysql_collate='utf8mb4_bin',
    mysql_engine='InnoDB'
    )
    op.create_table('operators',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('username', sa.String(length=64), nullable=False),
    sa.Column('password_hash', sa.String(length=200), nullable=False),
    sa.Column('role', sa.String(length=16), nullable=False),
    sa.Column('totp_sealed', sa.String(length=400), nullable=True),
    sa.Column('totp_step', sa.BigInteger(), nullable=True),
    sa.Column('session_key', sa.String(length=32), nullable=False),
    sa.Column('created_at', sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql"), nullable=False),
    sa.CheckConstraint("role IN ('operator', 'admin')", name=op.f('ck_operators_role')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_operators')),
    sa.UniqueConstraint('username', name=op.f('uq_operators_username')),
    mysql_charset='utf8mb4',
    mysql_collate='utf8mb4_bin',
    mysql_engine='InnoDB'
    )
    op.create_table('wallets',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('number', sa.String(length=64), nullable=False),
    sa.Column('link', sa.String(length=1000), nullable=False),
    sa.Column('label', sa.String(length=100), nullable=False),
    sa.Column('image', sa.Text(), nullable=False),
    sa.Column('daily_limit', sa.BigInteger(), nullable=True),
    sa.Column('paused_at', sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql"), nullable=True),
    sa.Column('expected', sa.BigInteger(), nullable=False),
    sa.Column('received_today', sa.BigInteger(), nullable=False),
    sa.Column('received_on', sa.Date(), nullable=True),
    sa.Column('uses', sa.BigInteger(), nullable=False),
    sa.Column('last_used_at', sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql"), nullable=True),
    sa.Column('created_at', sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql"), nullable=False),
    sa.CheckConstraint('daily_limit IS NULL OR daily_limit > 0', name=op.f('ck_wallets_daily_limit')),
    sa.CheckConstraint('expected >= 0', name=op.f('ck_wallets_expected')),
    sa.CheckConstraint('received_today >= 0', name=op.f('ck_wallets_received_today')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_wallets')),
    sa.UniqueConstraint('number', name=op.f('uq_wallets_number')),
    mysql_charset='utf8mb4',
    mysql_collate='utf8mb4_bin',
    mysql_engine='InnoDB'
    )
    op.create_table('workers',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('name', sa.String(length=120), nullable=False),
    sa.Column('started_at', sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql"), nullable=False),
    sa.Column('heartbeat_at', sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql"), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_workers')),
    mysql_charset='utf8mb4',
    mysql_collate='utf8mb4_bin',
    mysql_engine='InnoDB'
    )
    op.create_index(op.f('ix_workers_heartbeat_at'), 'workers', ['heartbeat_at'], unique=False)
    op.create_table('endpoints',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('merchant_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('origin', sa.String(length=300), nullable=False),
    sa.Column('created_at', sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql"), nullable=False),
    sa.ForeignKeyConstraint(['merchant_id'], ['merchants.id'], name=op.f('fk_endpoints_merchant_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_endpoints')),
    sa.UniqueConstraint('merchant_id', 'origin', name=op.f('uq_endpoints_merchant_id_origin')),
    mysql_charset='utf8mb4',
    mysql_collate='utf8mb4_bin',
    mysql_engine='InnoDB'
    )
    op.create_table('merchant_secrets',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('merchant_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('kind', sa.String(length=16), nullable=False),
    sa.Column('slot', sa.Integer(), nullable=False),
    sa.Column('sealed', sa.String(length=400), nullable=False),
    sa.Column('fingerprint', sa.String(length=64), nullable=False),
    sa.Column('valid_until', sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql"), nullable=True),
    sa.Column('first_used_at', sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql"), nullable=True),
    sa.Column('created_at', sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql"), nullable=False),
    sa.CheckConstraint("kind IN ('payment', 'balance')", name=op.f('ck_merchant_secrets_kind')),
    sa.CheckConstraint('slot = 0 OR valid_until IS NOT NULL', name=op.f('ck_merchant_secrets_old_ends')),
    sa.CheckConstraint('slot IN (0, 1)', name=op.f('ck_merchant_secrets_slot')),
    sa.ForeignKeyConstraint(['merchant_id'], ['merchants.id'], name=op.f('fk_merchant_secrets_merchant_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_merchant_secrets')),
    sa.UniqueConstraint('fingerprint', name=op.f('uq_merchant_secrets_fingerprint')),
    sa.UniqueConstraint('merchant_id', 'kind', 'slot', name=op.f('uq_merchant_secrets_merchant_id_kind_slot')),
    mysql_charset='utf8mb4',
    mysql_collate='utf8mb4_bin',
    mysql_engine='InnoDB'
    )
    op.create_table('payments',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('merchant_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('payment_id', sa.String(length=64), nullable=False),
    sa.Column('wallet_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('user_wallet', sa.String(length=64), nullable=False),
    sa.Column('sum', sa.BigInteger(), nullable=False),
    sa.Column('received', sa.BigInteger(), nullable=False),
    sa.Column('status', sa.String(length=16), nullable=False),
    sa.Column('cancel_cause', sa.String(length=16), nullable=True),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('callback_url', sa.String(length=2048), nullable=False),
    sa.Column('create_time', sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql"), nullable=False),
    sa.Column('create_time_text', sa.String(length=64), nullable=False),
    sa.Column('create_time_read', sa.Boolean(), nullable=False),
    sa.Column('opened_at', sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql"), nullable=False),
    sa.Column('due_at', sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql"), nullable=True),
    sa.Column('closed_at', sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql"), nullable=True),
    sa.Column('holds_sum_until', sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql"), nullable=False),
    sa.CheckConstraint("(closed_at IS NULL) = (status IN ('pending', 'confirming'))", name=op.f('ck_payments_closed')),
    sa.CheckConstraint("cancel_cause IN ('merchant', 'operator', 'expired')", name=op.f('ck_payments_cancel_cause')),
    sa.CheckConstraint("status <> 'accept' OR received > 0", name=op.f('ck_payments_accepted')),
    sa.CheckConstraint("status <> 'cancel' OR (cancel_cause IS NOT NULL AND received = 0)", name=op.f('ck_payments_cancelled')),
    sa.CheckConstraint("status <> 'pending' OR (cancel_cause IS NULL AND received = 0)", name=op.f('ck_payments_pending')),
    sa.CheckConstraint("status IN ('pending', 'confirming', 'accept', 'cancel')", name=op.f('ck_payments_status')),
    sa.CheckConstraint('received >= 0', name=op.f('ck_payments_received')),
    sa.CheckConstraint('sum > 0', name=op.f('ck_payments_sum')),
    sa.ForeignKeyConstraint(['merchant_id'], ['merchants.id'], name=op.f('fk_payments_merchant_id')),
    sa.ForeignKeyConstraint(['wallet_id'], ['wallets.id'], name=op.f('fk_payments_wallet_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_payments')),
    sa.UniqueConstraint('payment_id', 'merchant_id', name=op.f('uq_payments_payment_id_merchant_id')),
    mysql_charset='utf8mb4',
    mysql_collate='utf8mb4_bin',
    mysql_engine='InnoDB'
    )
    op.create_index('ix_payments_merchant_id_create_time', 'payments', ['merchant_id', 'create_time'], unique=False)
    op.create_index('ix_payments_status_due_at', 'payments', ['status', 'due_at'], unique=False)
    op.create_index('ix_payments_status_opened_at', 'payments', ['status', 'opened_at'], unique=False)
    op.create_index('ix_payments_user_wallet', 'payments', ['user_wallet'], unique=False)
    op.create_index('ix_payments_wallet_id_sum_holds_sum_until', 'payments', ['wallet_id', 'sum', 'holds_sum_until'], unique=False)
    op.create_table('audit_entries',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('at', sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql"), nullable=False),
    sa.Column('actor', sa.String(length=80), nullable=False),
    sa.Column('action', sa.String(length=40), nullable=False),
    sa.Column('payment_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=True),
    sa.Column('details', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['payment_id'], ['payments.id'], name=op.f('fk_audit_entries_payment_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_audit_entries')),
    mysql_charset='utf8mb4',
    mysql_collate='utf8mb4_bin',
    mysql_engine='InnoDB'
    )
    op.create_index('ix_audit_entries_payment_id', 'audit_entries', ['payment_id'], unique=False)
    op.create_table('transfers',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('payment_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('wallet_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('sum', sa.BigInteger(), nullable=False),
    sa.Column('reference', sa.String(length=64), nullable=True),
    sa.Column('live_reference', sa.String(length=64), nullable=True),
    sa.Column('recorded_at', sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql"), nullable=False),
    sa.Column('recorded_by', sa.String(length=80), nullable=False),
    sa.Column('voided_at', sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql"), nullable=True),
    sa.Column('voided_by', sa.String(length=80), nullable=True),
    sa.Column('void_reason', sa.String(length=200), nullable=True),
    sa.CheckConstraint('(voided_at IS NULL) = (void_reason IS NULL)', name=op.f('ck_transfers_voided')),
    sa.CheckConstraint('sum > 0', name=op.f('ck_transfers_sum')),
    sa.CheckConstraint('voided_at IS NULL OR live_reference IS NULL', name=op.f('ck_transfers_reference_freed')),
    sa.ForeignKeyConstraint(['payment_id'], ['payments.id'], name=op.f('fk_transfers_payment_id')),
    sa.ForeignKeyConstraint(['wallet_id'], ['wallets.id'], name=op.f('fk_transfers_wallet_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_transfers')),
    sa.UniqueConstraint('wallet_id', 'live_reference', name=op.f('uq_transfers_wallet_id_live_reference')),
    mysql_charset='utf8mb4',
    mysql_collate='utf8mb4_bin',
    mysql_engine='InnoDB'
    )
    op.create_index('ix_transfers_payment_id', 'transfers', ['payment_id'], unique=False)
    op.create_table('webhooks',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('event_id', sa.String(length=40), nullable=False),
    sa.Column('merchant_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('endpoint_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('payment_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=True),
    sa.Column('kind', sa.String(length=16), nullable=False),
    sa.Column('url', sa.String(length=2048), nullable=False),
    sa.Column('body', sa.Text(), nullable=False),
    sa.Column('state', sa.String(length=16), nullable=False),
    sa.Column('due_at', sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql"), nullable=False),
    sa.Column('lease', sa.String(length=32), nullable=True),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('by_hand', sa.Boolean(), nullable=False),
    sa.Column('once_key', sa.String(length=64), nullable=True),
    sa.Column('created_at', sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql"), nullable=False),
    sa.Column('closed_at', sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql"), nullable=True),
    sa.CheckConstraint("(kind = 'balance') = (payment_id IS NULL)", name=op.f('ck_webhooks_about')),
    sa.CheckConstraint("kind IN ('accept', 'cancel', 'change_sum', 'balance')", name=op.f('ck_webhooks_kind')),
    sa.CheckConstraint("state IN ('due', 'delivered', 'given_up')", name=op.f('ck_webhooks_state')),
    sa.ForeignKeyConstraint(['endpoint_id'], ['endpoints.id'], name=op.f('fk_webhooks_endpoint_id')),
    sa.ForeignKeyConstraint(['merchant_id'], ['merchants.id'], name=op.f('fk_webhooks_merchant_id')),
    sa.ForeignKeyConstraint(['payment_id'], ['payments.id'], name=op.f('fk_webhooks_payment_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_webhooks')),
    sa.UniqueConstraint('event_id', name=op.f('uq_webhooks_event_id')),
    sa.UniqueConstraint('once_key', name=op.f('uq_webhooks_once_key')),
    mysql_charset='utf8mb4',
    mysql_collate='utf8mb4_bin',
    mysql_engine='InnoDB'
    )
    op.create_index('ix_webhooks_endpoint_id_state_due_at', 'webhooks', ['endpoint_id', 'state', 'due_at'], unique=False)
    op.create_index('ix_webhooks_payment_id_state', 'webhooks', ['payment_id', 'state'], unique=False)
    op.create_index('ix_webhooks_state_due_at', 'webhooks', ['state', 'due_at'], unique=False)
    op.create_table('webhook_attempts',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('webhook_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('at', sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql"), nullable=False),
    sa.Column('milliseconds', sa.Integer(), nullable=False),
    sa.Column('outcome', sa.String(length=20), nullable=False),
    sa.Column('detail', sa.String(length=200), nullable=False),
    sa.Column('answer', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['webhook_id'], ['webhooks.id'], name=op.f('fk_webhook_attempts_webhook_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_webhook_attempts')),
    mysql_charset='utf8mb4',
    mysql_collate='utf8mb4_bin',
    mysql_engine='InnoDB'
    )
    op.create_index('ix_webhook_attempts_webhook_id', 'webhook_attempts', ['webhook_id'], unique=False)


def downgrade() -> None:
    op.drop_table('webhook_attempts')
    op.drop_table('webhooks')
    op.drop_table('transfers')
    op.drop_table('audit_entries')
    op.drop_table('payments')
    op.drop_table('merchant_secrets')
    op.drop_table('endpoints')
    op.drop_table('workers')
    op.drop_table('wallets')
    op.drop_table('operators')
    op.drop_table('merchants')
    op.drop_table('failed_logins')
