-- The ledger: what is known of jobs, sources, assets and pictures, and the table that is the queue.
-- Invariants stand here, before any code. Paths are BLOBs: a card's names need not be UTF-8.
-- Wall times are ISO 8601 text and only shown to people; nothing is decided by them.

CREATE TABLE library (
  one     INTEGER PRIMARY KEY CHECK (one = 1),
  id      TEXT NOT NULL                        -- equals .ghostroll/library.json, or nothing is believed
) STRICT;

CREATE TABLE session (
  id          INTEGER PRIMARY KEY,
  name        TEXT NOT NULL UNIQUE CHECK (name <> '' AND name NOT LIKE '%/%' AND name NOT LIKE '.%'),
  created_at  TEXT NOT NULL
) STRICT;

CREATE TABLE job (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,   -- a number that a person typed never means another job
  session_id    INTEGER REFERENCES session,          -- none until there is something new
  folder        TEXT CHECK (folder NOT LIKE '%/%' AND folder NOT LIKE '.%'),
  wanted        TEXT,                                -- the session's name that a person asked for
  uuid          TEXT,
  label         TEXT NOT NULL,
  size          INTEGER NOT NULL CHECK (size >= 0),
  filesystem    TEXT NOT NULL,
  root          BLOB NOT NULL,
  safety        TEXT NOT NULL DEFAULT 'scanning'
                CHECK (safety IN ('scanning', 'copying', 'secured', 'interrupted', 'attention', 'closed')),
  publication   TEXT NOT NULL DEFAULT 'none' CHECK (publication IN ('none', 'live', 'complete')),
  created_at    TEXT NOT NULL,
  secured_at    TEXT,
  published_at  TEXT,
  CHECK ((session_id IS NULL) = (folder IS NULL)),
  CHECK ((safety = 'secured') = (secured_at IS NOT NULL)),
  CHECK (publication = 'none' OR session_id IS NOT NULL)
) STRICT;
-- Two volumes never share a folder of a session.
CREATE UNIQUE INDEX job_folder ON job (session_id, folder) WHERE session_id IS NOT NULL;
-- One card has one ingest under way.
CREATE UNIQUE INDEX job_active ON job (uuid, size) WHERE uuid IS NOT NULL AND safety IN ('scanning', 'copying');
CREATE INDEX job_volume ON job (uuid, size, id);

CREATE TABLE asset (
  id           INTEGER PRIMARY KEY,
  sha256       BLOB NOT NULL UNIQUE CHECK (length(sha256) = 32),
  size         INTEGER NOT NULL CHECK (size >= 0),
  head         BLOB NOT NULL CHECK (length(head) = 32),  -- SHA-256 of the first 64 KiB
  path         BLOB NOT NULL UNIQUE,                     -- below the library
  session_id   INTEGER NOT NULL REFERENCES session,
  verified_at  INTEGER NOT NULL                          -- unix seconds of the last full read that matched
) STRICT;
CREATE INDEX asset_session ON asset (session_id);

CREATE TABLE source (
  id        INTEGER PRIMARY KEY,
  job_id    INTEGER NOT NULL REFERENCES job,
  path      BLOB NOT NULL,                               -- below the volume's root
  size      INTEGER NOT NULL CHECK (size >= 0),
  mtime_ns  INTEGER NOT NULL,
  kind      TEXT NOT NULL,
  state     TEXT NOT NULL
            CHECK (state IN ('pending', 'stored', 'duplicate', 'known', 'failed', 'skipped')),
  asset_id  INTEGER REFERENCES asset,
  error     TEXT,
  UNIQUE (job_id, path),
  -- A source is settled exactly if it has its asset, and unhappy exactly if it says why.
  CHECK ((state IN ('stored', 'duplicate', 'known')) = (asset_id IS NOT NULL)),
  CHECK ((state IN ('failed', 'skipped')) = (error IS NOT NULL))
) STRICT;
-- Whether a job is secured is asked after every copy: both questions cost one look.
CREATE INDEX source_state ON source (job_id, state);
CREATE INDEX source_asset ON source (asset_id) WHERE asset_id IS NOT NULL;

CREATE TABLE picture (
  source_id    INTEGER PRIMARY KEY REFERENCES source,
  session_id   INTEGER NOT NULL REFERENCES session,
  share        TEXT,                                     -- file names below share/ and thumbs/
  width        INTEGER, height INTEGER, share_bytes INTEGER, thumb_bytes INTEGER,
  taken        TEXT, camera TEXT, lens TEXT, exposure TEXT, duration REAL,
  error        TEXT,
  CHECK ((share IS NULL) = (error IS NOT NULL)),
  CHECK ((share IS NULL) = (width IS NULL) AND (share IS NULL) = (height IS NULL)),
  CHECK ((share IS NULL) = (share_bytes IS NULL) AND (share IS NULL) = (thumb_bytes IS NULL)),
  UNIQUE (session_id, share)                             -- no two renditions collide
) STRICT;

CREATE TABLE task (
  id        INTEGER PRIMARY KEY AUTOINCREMENT,          -- never used again: a late settle must not hit another task
  stage     TEXT NOT NULL CHECK (stage IN ('scan', 'copy', 'render', 'upload', 'publish')),
  job_id    INTEGER NOT NULL REFERENCES job,
  subject   INTEGER NOT NULL,                            -- scan: job; copy, render: source; publish: session
  state     TEXT NOT NULL DEFAULT 'ready' CHECK (state IN ('ready', 'running', 'done', 'parked', 'dead')),
  priority  INTEGER NOT NULL DEFAULT 0,                  -- larger goes first
  weight    INTEGER NOT NULL DEFAULT 0 CHECK (weight >= 0), -- bytes to move; bounds what is claimed at once
  attempts  INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  claim     INTEGER NOT NULL DEFAULT 0,                  -- grows with each claim; compared at settle
  due       REAL NOT NULL DEFAULT 0,                     -- boot-time seconds; void after a restart
  cause     TEXT,
  error     TEXT,
  CHECK ((state = 'parked') = (cause IS NOT NULL)),
  CHECK (state <> 'dead' OR (stage = 'render' AND error IS NOT NULL))
) STRICT;
-- Work is wanted once. A gallery may be wanted again while it is being written.
CREATE UNIQUE INDEX task_once ON task (stage, subject) WHERE stage <> 'publish';
CREATE UNIQUE INDEX task_wanted ON task (stage, subject) WHERE stage = 'publish' AND state IN ('ready', 'parked');
CREATE UNIQUE INDEX task_running ON task (stage, subject) WHERE state = 'running';
CREATE INDEX task_ready ON task (stage, priority DESC, id) WHERE state = 'ready';
CREATE INDEX task_ready_of_job ON task (job_id, stage, priority DESC, id) WHERE state = 'ready';
-- When the next ready task is due: the first entry answers.
CREATE INDEX task_due ON task (stage, due) WHERE state = 'ready';
CREATE INDEX task_due_of_job ON task (job_id, stage, due) WHERE state = 'ready';
CREATE INDEX task_state ON task (state, job_id, stage);
