CREATE TABLE notifications (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id    bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    post_id    bigint NOT NULL REFERENCES posts (id) ON DELETE CASCADE,
    kind       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, post_id, kind)
);

CREATE INDEX notifications_by_post ON notifications (post_id);

CREATE TABLE worker_heartbeats (
    worker      text PRIMARY KEY,
    environment text NOT NULL,
    release     text NOT NULL,
    seen_at     timestamptz NOT NULL DEFAULT now()
);
