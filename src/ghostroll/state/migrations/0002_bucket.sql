-- A session is shown in several places: its own folder always, a bucket where one is configured.
-- What stands here of a bucket was confirmed by it; an address or a key is never stored, only when it was signed.

ALTER TABLE source ADD COLUMN protected INTEGER NOT NULL DEFAULT 0 CHECK (protected IN (0, 1));  -- locked in the camera
ALTER TABLE job ADD COLUMN confirmed_at TEXT;  -- since when its originals are confirmed where the config wants them
CREATE INDEX asset_size ON asset (size);       -- a file of a size that no asset has is new for certain

CREATE TABLE gallery (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  session_id    INTEGER NOT NULL REFERENCES session,
  place         TEXT NOT NULL,                         -- 'folder', or the identity of a bucket
  folder        TEXT UNIQUE,                           -- in a bucket: the session's name and what can't be guessed
  state         TEXT NOT NULL DEFAULT 'none' CHECK (state IN ('none', 'live', 'complete')),
  released      INTEGER NOT NULL DEFAULT 1 CHECK (released IN (0, 1)),  -- 0: waits for `ghostroll publish`
  relink        INTEGER NOT NULL DEFAULT 0 CHECK (relink IN (0, 1)),    -- a new link is asked for
  linked_at     INTEGER, link_seconds INTEGER,         -- unix seconds; when its link was signed, for how long
  signed_at     INTEGER, signed_seconds INTEGER,       -- the same of the pictures' addresses in gallery.json
  archive_bytes INTEGER CHECK (archive_bytes > 0),     -- share.zip is there and holds every picture
  UNIQUE (session_id, place),
  CHECK ((place = 'folder') = (folder IS NULL)),
  CHECK ((linked_at IS NULL) = (link_seconds IS NULL) AND (signed_at IS NULL) = (signed_seconds IS NULL)),
  CHECK (place <> 'folder' OR (linked_at IS NULL AND signed_at IS NULL AND archive_bytes IS NULL))
) STRICT;
-- The subject of a publish task is a gallery from now on; that of a folder keeps its session's number.
INSERT INTO gallery (id, session_id, place, state)
  SELECT id, id, 'folder', CASE WHEN EXISTS (
    SELECT 1 FROM job WHERE job.session_id = session.id AND job.publication <> 'complete'
  ) THEN 'live' ELSE 'complete' END FROM session;

CREATE TABLE object (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  place       TEXT NOT NULL,
  kind        TEXT NOT NULL CHECK (kind IN ('picture', 'original', 'archive')),
  job_id      INTEGER NOT NULL REFERENCES job,         -- that wanted it first
  gallery_id  INTEGER REFERENCES gallery,
  source_id   INTEGER REFERENCES source,               -- whose two renditions a picture is
  asset_id    INTEGER REFERENCES asset,
  state       TEXT NOT NULL DEFAULT 'wanted' CHECK (state IN ('wanted', 'present', 'confirmed')),
  wish        INTEGER NOT NULL DEFAULT 1,              -- grows with each wish: an upload of older bytes settles none
  upload      TEXT,                                    -- the multipart upload under way
  bytes       INTEGER NOT NULL DEFAULT 0 CHECK (bytes >= 0),
  why         TEXT,                                    -- why an original that is present is not confirmed
  CHECK ((kind = 'picture') = (source_id IS NOT NULL)),
  CHECK ((kind = 'original') = (asset_id IS NOT NULL)),
  CHECK ((kind = 'original') = (gallery_id IS NULL)),
  CHECK (state <> 'confirmed' OR kind = 'original')
) STRICT;
CREATE UNIQUE INDEX object_picture ON object (gallery_id, source_id) WHERE source_id IS NOT NULL;
CREATE UNIQUE INDEX object_archive ON object (gallery_id) WHERE kind = 'archive';
CREATE UNIQUE INDEX object_original ON object (asset_id, place) WHERE asset_id IS NOT NULL;
-- Whether a gallery is complete is asked after every upload: one look.
CREATE INDEX object_state ON object (gallery_id, kind, state) WHERE gallery_id IS NOT NULL;
CREATE INDEX object_wanted ON object (place, id) WHERE state = 'wanted';
CREATE INDEX object_job ON object (job_id, state);
CREATE INDEX object_source ON object (source_id) WHERE source_id IS NOT NULL;
-- Crews of one stage that don't wait for each other: when the next task of each is due.
CREATE INDEX task_due_of_rank ON task (stage, priority >> 40, due) WHERE state = 'ready';
-- Pages are few among very many uploads: whether one is under way is asked before each of those.
CREATE INDEX task_page ON task (state, subject) WHERE stage = 'publish';
