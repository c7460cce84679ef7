"""The tables. What must never happen twice is a constraint here, whatever the code above does."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy import text as sql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Moment(TypeDecorator[datetime]):
    """A moment, kept in UTC by databases with and without time zones alike."""

    impl = DateTime(timezone=False)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    # Named, so that migrations can change them on every database.
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: Moment, dict[str, Any]: JSON, str: String}  # noqa: RUF012


class Event(Base):
    """One link of the audit log. Rows are only ever added."""

    __tablename__ = "event"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    kind: Mapped[str] = mapped_column(index=True)
    public: Mapped[str] = mapped_column(Text)
    """Canonical JSON that everybody may read."""
    private: Mapped[str | None] = mapped_column(Text)
    """Canonical JSON with a salt; its hash is part of the chain."""
    private_hash: Mapped[str | None]
    previous: Mapped[str]
    hash: Mapped[str] = mapped_column(unique=True)


class Account(Base):
    __tablename__ = "account"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    """In lower case."""
    name: Mapped[str]
    password: Mapped[str | None]
    """argon2; None where the account came with an import and nobody has claimed it."""
    role: Mapped[str] = mapped_column(default="entrant")
    affiliation: Mapped[str] = mapped_column(default="none")
    language: Mapped[str] = mapped_column(default="zh")
    timezone: Mapped[str | None]
    identities: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """Names by site."""
    confirmed_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    banned_at: Mapped[datetime | None]
    ban_reason: Mapped[str | None] = mapped_column(Text)
    false_identity: Mapped[bool] = mapped_column(default=False)


class Secret(Base):
    """A session, an API token, or a link of a mail. Only hashes of secrets are kept."""

    __tablename__ = "secret"

    hash: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    kind: Mapped[str]
    """session, token, confirm, reset"""
    name: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    used_at: Mapped[datetime | None]


class Sighting(Base):
    """From where an account was used: evidence for suspected duplicates, and for limiting log-in attempts."""

    __tablename__ = "sighting"

    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"), index=True)
    kind: Mapped[str]
    """address, device, failed_login"""
    value: Mapped[str]
    at: Mapped[datetime]

    __table_args__ = (Index("ix_sighting_kind_value_at", "kind", "value", "at"),)


class Team(Base):
    __tablename__ = "team"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    folded: Mapped[str] = mapped_column(unique=True)
    """The name as it is compared: no two teams' names differ in case or width alone."""
    captain_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    created_at: Mapped[datetime]
    dissolved_at: Mapped[datetime | None]
    merged_into: Mapped[int | None] = mapped_column(ForeignKey("team.id"))
    disqualified_at: Mapped[datetime | None]
    disqualified_for: Mapped[str | None] = mapped_column(Text)


class Membership(Base):
    """A person's team: the key is the person, so that nobody is in two."""

    __tablename__ = "membership"

    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), primary_key=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("team.id"), index=True)
    joined_at: Mapped[datetime]


class Invite(Base):
    __tablename__ = "invite"

    id: Mapped[int] = mapped_column(primary_key=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("team.id"), index=True)
    hash: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    used_by: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class MergeOffer(Base):
    """The captain of ``into`` offers; the captain of ``other`` accepts, and that dissolves ``other``."""

    __tablename__ = "merge_offer"

    id: Mapped[int] = mapped_column(primary_key=True)
    into_id: Mapped[int] = mapped_column(ForeignKey("team.id"))
    other_id: Mapped[int] = mapped_column(ForeignKey("team.id"), index=True)
    created_at: Mapped[datetime]
    accepted_at: Mapped[datetime | None]


class Registration(Base):
    __tablename__ = "registration"

    id: Mapped[int] = mapped_column(primary_key=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("team.id"))
    paper: Mapped[str]
    repo: Mapped[str] = mapped_column(Text)
    seed: Mapped[int]
    """Issued here: a training that starts from it was not chosen among many."""
    created_at: Mapped[datetime]
    reference_figure: Mapped[float | None]
    reference_at: Mapped[datetime | None]
    """When a reference run was found to hold."""
    reference_said: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (
        UniqueConstraint("team_id", "paper"),
        Index("ix_registration_paper", "paper", "created_at"),
    )


class ChainHead(Base):
    """A head of a training's hash chain that a team posted while it ran: it cannot be made up afterwards."""

    __tablename__ = "chain_head"

    id: Mapped[int] = mapped_column(primary_key=True)
    registration_id: Mapped[int] = mapped_column(ForeignKey("registration.id"), index=True)
    step: Mapped[int]
    head: Mapped[str]
    at: Mapped[datetime]


class Grant(Base):
    """The ledger of compute grants: sums, never overwritten."""

    __tablename__ = "compute_grant"

    id: Mapped[int] = mapped_column(primary_key=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("team.id"), index=True)
    hours: Mapped[float]
    note: Mapped[str] = mapped_column(Text)
    given_by: Mapped[int] = mapped_column(ForeignKey("account.id"))
    at: Mapped[datetime]


class Submission(Base):
    __tablename__ = "submission"

    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int | None] = mapped_column(unique=True)
    """The receipt; None while the thread reply or the mail is missing."""
    team_id: Mapped[int] = mapped_column(ForeignKey("team.id"), index=True)
    paper: Mapped[str]
    repo: Mapped[str] = mapped_column(Text)
    commit: Mapped[str | None]
    """None until it is pinned, where the thread's line named none."""
    source: Mapped[str]
    """api, web, thread"""
    submitted_by: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    attempt: Mapped[int | None]
    look: Mapped[int] = mapped_column(default=1)
    thread_at: Mapped[datetime | None]
    mail_at: Mapped[datetime | None]
    received_at: Mapped[datetime | None]
    receipt_event: Mapped[int | None] = mapped_column(ForeignKey("event.number"))
    status: Mapped[str]
    """``rules.race.Status``, or incomplete."""
    ruling: Mapped[str] = mapped_column(default="none")
    """``rules.race.Ruling``."""
    ranked: Mapped[bool] = mapped_column(default=True)
    reason: Mapped[str | None]
    detail: Mapped[str | None] = mapped_column(Text)
    ruled_at: Mapped[datetime | None]
    bundle: Mapped[str | None]
    """sha256 of the git bundle."""
    secret: Mapped[str | None]
    """Hexadecimal; seeds the drawn tests. Its hash is in the receipt, itself in the log after the ruling."""
    secret_opened: Mapped[bool] = mapped_column(default=False)
    evidence: Mapped[str | None]
    """Name among the artifacts."""
    report: Mapped[dict[str, Any] | None]
    """What the team may see of the last verification."""

    __table_args__ = (
        Index("ix_submission_paper_number", "paper", "number"),
        Index("ix_submission_paper_status", "paper", "status"),
        Index("ix_submission_status", "status", "received_at"),
        Index("ix_submission_status_number", "status", "number"),
    )


class SubmissionPerson(Base):
    """Who was in the team when it submitted: attempts follow people, not team names."""

    __tablename__ = "submission_person"

    submission_id: Mapped[int] = mapped_column(ForeignKey("submission.id"), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), primary_key=True, index=True)


class StatusChange(Base):
    """The timeline of a submission, and what the board showed on any day."""

    __tablename__ = "status_change"

    id: Mapped[int] = mapped_column(primary_key=True)
    submission_id: Mapped[int] = mapped_column(ForeignKey("submission.id"), index=True)
    at: Mapped[datetime]
    status: Mapped[str]
    note: Mapped[str] = mapped_column(default="")

    __table_args__ = (Index("ix_status_change_at", "at"),)


class Tally(Base):
    """What a paper's board gained on a day: the sum over days is the board."""

    __tablename__ = "tally"

    paper: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[str] = mapped_column(primary_key=True)
    """A date of the contest's time zone, as ISO writes it."""
    status: Mapped[str] = mapped_column(primary_key=True)
    """Of submissions, or ``registered``."""
    count: Mapped[int]


class Judgement(Base):
    """One finished look. At most one counts for each look, however many workers tried."""

    __tablename__ = "judgement"

    id: Mapped[int] = mapped_column(primary_key=True)
    submission_id: Mapped[int] = mapped_column(ForeignKey("submission.id"), index=True)
    look: Mapped[int]
    rejudge_id: Mapped[int | None] = mapped_column(ForeignKey("rejudge.id"))
    verdict: Mapped[str]
    reason: Mapped[str]
    detail: Mapped[str] = mapped_column(Text)
    evidence: Mapped[str | None]
    worker: Mapped[str]
    at: Mapped[datetime]

    __table_args__ = (
        Index(
            "uq_judgement_look", "submission_id", "look", unique=True,
            sqlite_where=sql("rejudge_id IS NULL"), postgresql_where=sql("rejudge_id IS NULL"),
        ),
        Index(
            "uq_judgement_rejudge", "submission_id", "rejudge_id", unique=True,
            sqlite_where=sql("rejudge_id IS NOT NULL"), postgresql_where=sql("rejudge_id IS NOT NULL"),
        ),
    )  # fmt: skip


class Winner(Base):
    """A paper's winner: the key is the paper, so that there are never two."""

    __tablename__ = "winner"

    paper: Mapped[str] = mapped_column(primary_key=True)
    submission_id: Mapped[int] = mapped_column(ForeignKey("submission.id"), unique=True)
    at: Mapped[datetime]


class Job(Base):
    __tablename__ = "job"

    id: Mapped[int] = mapped_column(primary_key=True)
    submission_id: Mapped[int] = mapped_column(ForeignKey("submission.id"))
    kind: Mapped[str]
    """pin, verify"""
    rank: Mapped[int]
    """The lower, the sooner."""
    look: Mapped[int]
    rejudge_id: Mapped[int | None] = mapped_column(ForeignKey("rejudge.id"))
    state: Mapped[str] = mapped_column(default="queued")
    """queued, leased, done, cancelled"""
    run_after: Mapped[datetime]
    lease_until: Mapped[datetime | None]
    worker: Mapped[str | None]
    token: Mapped[int] = mapped_column(default=0)
    """Fencing: grows with every claim, and only the newest holder's result is taken."""
    attempts: Mapped[int] = mapped_column(default=0)
    failures: Mapped[int] = mapped_column(default=0)
    progress: Mapped[str] = mapped_column(default="")
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        Index("ix_job_state_rank", "state", "rank", "id"),
        Index("ix_job_state_lease", "state", "lease_until"),
        Index(
            "uq_job_active", "submission_id", unique=True,
            sqlite_where=sql("state IN ('queued', 'leased') AND rejudge_id IS NULL"),
            postgresql_where=sql("state IN ('queued', 'leased') AND rejudge_id IS NULL"),
        ),
    )  # fmt: skip


class Worker(Base):
    __tablename__ = "worker"

    name: Mapped[str] = mapped_column(primary_key=True)
    host: Mapped[str]
    engine: Mapped[str]
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    doing: Mapped[int | None]
    """A job."""
    stopped_at: Mapped[datetime | None]


class Rejudge(Base):
    __tablename__ = "rejudge"

    id: Mapped[int] = mapped_column(primary_key=True)
    reason: Mapped[str] = mapped_column(Text)
    state: Mapped[str]
    opened_by: Mapped[int] = mapped_column(ForeignKey("account.id"))
    opened_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class RejudgeItem(Base):
    __tablename__ = "rejudge_item"

    rejudge_id: Mapped[int] = mapped_column(ForeignKey("rejudge.id"), primary_key=True)
    submission_id: Mapped[int] = mapped_column(ForeignKey("submission.id"), primary_key=True)
    before: Mapped[str]
    """The ruling when the rejudge was opened."""
    after: Mapped[str | None]
    reason: Mapped[str | None]
    detail: Mapped[str | None] = mapped_column(Text)


class Dispute(Base):
    """A challenge of another team's ruling, or an appeal against one's own."""

    __tablename__ = "dispute"

    id: Mapped[int] = mapped_column(primary_key=True)
    submission_id: Mapped[int] = mapped_column(ForeignKey("submission.id"), index=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("team.id"))
    kind: Mapped[str]
    """challenge, appeal"""
    text: Mapped[str] = mapped_column(Text)
    opened_at: Mapped[datetime]
    state: Mapped[str] = mapped_column(default="open")
    """open, upheld, dismissed"""
    answer: Mapped[str | None] = mapped_column(Text)
    answered_by: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    answered_at: Mapped[datetime | None]
    rejudge_id: Mapped[int | None] = mapped_column(ForeignKey("rejudge.id"))


class Cluster(Base):
    """Accounts that look like one person; a person decides."""

    __tablename__ = "cluster"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    """The accounts, sorted: the same suspicion is not raised twice."""
    accounts: Mapped[dict[str, Any]]
    evidence: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(default="open")
    """open, duplicates, false_positive"""
    reason: Mapped[str | None] = mapped_column(Text)
    decided_by: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    at: Mapped[datetime]


class Fingerprint(Base):
    """MinHash signature of a submission's source code."""

    __tablename__ = "fingerprint"

    submission_id: Mapped[int] = mapped_column(ForeignKey("submission.id"), primary_key=True)
    signature: Mapped[str] = mapped_column(Text)
    """Hexadecimal, 64 values of 64 bits."""


class Announcement(Base):
    __tablename__ = "announcement"

    id: Mapped[int] = mapped_column(primary_key=True)
    paper: Mapped[str | None]
    """None: for all."""
    title_zh: Mapped[str]
    title_en: Mapped[str]
    text_zh: Mapped[str] = mapped_column(Text)
    text_en: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(index=True)
    by: Mapped[int] = mapped_column(ForeignKey("account.id"))


class Question(Base):
    """A clarification: asked by a team, answered by an organiser, to the team alone or to everyone."""

    __tablename__ = "question"

    id: Mapped[int] = mapped_column(primary_key=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("team.id"), index=True)
    paper: Mapped[str | None]
    text: Mapped[str] = mapped_column(Text)
    asked_by: Mapped[int] = mapped_column(ForeignKey("account.id"))
    asked_at: Mapped[datetime]
    answer: Mapped[str | None] = mapped_column(Text)
    public: Mapped[bool] = mapped_column(default=False)
    answered_by: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    answered_at: Mapped[datetime | None]


class Notification(Base):
    __tablename__ = "notification"

    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    at: Mapped[datetime]
    zh: Mapped[str] = mapped_column(Text)
    en: Mapped[str] = mapped_column(Text)
    link: Mapped[str] = mapped_column(default="")
    read_at: Mapped[datetime | None]


class Mail(Base):
    """The outbox: what is to be sent, and where there is no mail server what the organiser sends by hand."""

    __tablename__ = "mail"

    id: Mapped[int] = mapped_column(primary_key=True)
    to: Mapped[str]
    subject: Mapped[str]
    text: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None] = mapped_column(index=True)
    attempts: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None] = mapped_column(Text)


class Delivery(Base):
    """What a winner hands in besides, one row a deliverable."""

    __tablename__ = "delivery"

    paper: Mapped[str] = mapped_column(primary_key=True)
    deliverable: Mapped[str] = mapped_column(primary_key=True)
    link: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]
    note: Mapped[str] = mapped_column(Text, default="")


class Payment(Base):
    """A prize paid, or an entitlement of a finalist and its state."""

    __tablename__ = "payment"

    paper: Mapped[str] = mapped_column(primary_key=True)
    what: Mapped[str] = mapped_column(primary_key=True)
    """prize, or an entitlement's id"""
    state: Mapped[str]
    note: Mapped[str] = mapped_column(Text, default="")
    at: Mapped[datetime]


class Score(Base):
    __tablename__ = "score"

    paper: Mapped[str] = mapped_column(primary_key=True)
    judge_id: Mapped[int] = mapped_column(ForeignKey("account.id"), primary_key=True)
    criterion: Mapped[str] = mapped_column(primary_key=True)
    score: Mapped[float]
    at: Mapped[datetime]


class Imported(Base):
    """A thread comment or mail that was read: reading it again changes nothing."""

    __tablename__ = "imported"

    key: Mapped[str] = mapped_column(primary_key=True)
    """sha256 of where it came from and what it says."""
    kind: Mapped[str]
    said: Mapped[str] = mapped_column(Text)
    """What became of it."""
    at: Mapped[datetime]
