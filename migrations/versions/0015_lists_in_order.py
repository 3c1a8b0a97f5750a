"""The lists by our wallet and by a sum come off their indexes in order on MySQL too: the key stands before the merchant"""

import sqlalchemy as sa
from alembic import op

revision = '0015'
down_revision = '0014'
branch_labels = None
depends_on = None

NEW = {
    'ix_payments_wallet_id_status_opened_at_id_merchant_id': ['wallet_id', 'status', 'opened_at', 'id', 'merchant_id'],
    'ix_payments_sum_status_opened_at_id_merchant_id': ['sum', 'status', 'opened_at', 'id', 'merchant_id'],
}
OLD = {
    'ix_payments_wallet_id_status_opened_at_merchant_id': ['wallet_id', 'status', 'opened_at', 'merchant_id'],
    'ix_payments_sum_status_opened_at_merchant_id': ['sum', 'status', 'opened_at', 'merchant_id'],
}


def upgrade() -> None:
    replace(OLD, NEW)


def downgrade() -> None:
    replace(NEW, OLD)


def replace(old: dict[str, list[str]], new: dict[str, list[str]]) -> None:
    """It may have been stopped half-way: MySQL commits each of these by itself."""
    there = {index['name'] for index in sa.inspect(op.get_bind()).get_indexes('payments')}
    for name in new.keys() - there:
        op.create_index(name, 'payments', new[name], unique=False)
    for name in old.keys() & there:
        op.drop_index(name, table_name='payments')
