"""What the board shows is counted by day."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tally",
        sa.Column("paper", sa.String(), nullable=False),
        sa.Column("day", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("paper", "day", "status", name=op.f("pk_tally")),
    )
    op.create_index("ix_status_change_at", "status_change", ["at"])
    op.create_index("ix_submission_status_number", "submission", ["status", "number"])


def downgrade() -> None:
    op.drop_index("ix_submission_status_number", "submission")
    op.drop_index("ix_status_change_at", "status_change")
    op.drop_table("tally")
