-- 2,000 people with posts, files, comments and follows; nothing where there are people already.
BEGIN;
SELECT setseed(0.42);

CREATE TEMPORARY TABLE fresh ON COMMIT DROP AS
SELECT n,
       (ARRAY['ada','alan','barbara','claude','donald','edsger','grace','hedy','ida','john','katherine','lise'])[1 + n % 12] AS first,
       (ARRAY['archer','brook','castle','dale','ember','field','grove','hill','isle','lake','moor'])[1 + n % 11] AS last
FROM generate_series(1, 2000) AS n
WHERE NOT EXISTS (SELECT FROM users OFFSET 100);

INSERT INTO users (email, handle, password_hash, created_at, deactivated_at)
SELECT format('%s.%s.%s@mail.example', first, last, n), format('%s_%s_%s', first, last, n),
       '$argon2id$v=19$m=19456,t=2,p=1$' || translate(encode(sha256(n::text::bytea), 'base64'), '+/=', ''),
       now() - n * interval '3 hours', CASE WHEN n % 25 = 0 THEN now() - interval '1 day' END
FROM fresh;

CREATE TEMPORARY TABLE people ON COMMIT DROP AS
SELECT row_number() OVER (ORDER BY id) AS n, id, email FROM users WHERE EXISTS (SELECT FROM fresh);

INSERT INTO oauth_accounts (user_id, provider, provider_user_id, access_token)
SELECT id, 'github', (1000000 + n * 7)::text, 'gho_' || encode(sha256(('token' || n)::bytea), 'hex')
FROM people WHERE n % 3 = 0;

INSERT INTO follows (follower_id, followed_id)
SELECT DISTINCT a.id, b.id
FROM people a JOIN generate_series(1, 2) AS k ON true JOIN people b ON b.n = 1 + (a.n * 31 * k + 17 * k) % 2000
WHERE a.id <> b.id;

INSERT INTO posts (author_id, title, visibility, created_at)
SELECT id, 'Study ' || k || ' of the ' || (ARRAY['sea','wall','harbour','garden'])[1 + (n + k) % 4],
       CASE WHEN (n + k) % 8 = 0 THEN 'private' ELSE 'public' END, now() - (n + k) * interval '1 hour'
FROM people, generate_series(1, 2) AS k;

INSERT INTO post_files (post_id, storage_key, media_type, size)
SELECT p.id, format('%s.txt', md5('artwork' || p.id)), 'text/plain', 44 + length(p.title)
FROM posts p JOIN people ON people.id = p.author_id;

INSERT INTO comments (post_id, author_id, body)
SELECT p.id, c.id, CASE WHEN p.id % 40 = 0 THEN 'Write to me at ' || c.email ELSE 'What a ' || lower(p.title) || '!' END
FROM posts p JOIN people a ON a.id = p.author_id JOIN people c ON c.n = 1 + (a.n * 13 + 5) % 2000
WHERE p.id % 2 = 0;
COMMIT;
ANALYZE;
