// Questions to begin with: each teaches a table, and together they are the first look at a machine that
// behaves oddly.

export interface Example {
  title: string;
  why: string;
  sql: string;
}

export const EXAMPLES: Example[] = [
  {
    title: 'What waits for others',
    why: 'Open ports with the program behind each. What nobody can explain here is where to go on.',
    sql: `SELECT port, protocol, address, process, path
FROM listeners
ORDER BY port`,
  },
  {
    title: 'Programs that run from odd places',
    why: 'Where everybody may write, programs seldom belong.',
    sql: `SELECT pid, name, path, cmdline, uid,
       datetime(started_secs, 'unixepoch') AS started
FROM processes
WHERE path GLOB '/tmp/*' OR path GLOB '/var/tmp/*'
   OR path GLOB '/dev/shm/*' OR path GLOB '/home/*'`,
  },
  {
    title: 'Hashes of all that runs',
    why: 'SHA-256 of every running program, to hold against what is known. The table of hashes wants to know which files.',
    sql: `SELECT DISTINCT p.path, h.sha256, h.size_bytes
FROM processes p
JOIN hashes h ON h.path = p.path
WHERE p.path IS NOT NULL`,
  },
  {
    title: 'Who talks to the outside',
    why: 'Connections that stand, counted by program and address.',
    sql: `SELECT process, remote_address, remote_port, count(*) AS connections
FROM sockets
WHERE state = 'established'
  AND remote_address NOT IN ('127.0.0.1', '::1')
GROUP BY 1, 2, 3
ORDER BY connections DESC`,
  },
  {
    title: 'What starts by itself, lately changed',
    why: 'Units, timers, cron and profiles that were written in the last week.',
    sql: `SELECT kind, path, user, schedule, command,
       datetime(changed_secs, 'unixepoch') AS changed
FROM autoruns
WHERE changed_secs > unixepoch() - 7 * 86400
ORDER BY changed_secs DESC`,
  },
  {
    title: 'Who can come in',
    why: 'Keys that may log in over SSH, and sessions that are open now.',
    sql: `SELECT owner, kind, comment, fingerprint, path
FROM ssh_keys
WHERE problem IS NULL`,
  },
  {
    title: 'One package everywhere',
    why: 'Ask all endpoints at once which version they have.',
    sql: `SELECT name, version, kind
FROM packages
WHERE name IN ('openssl', 'libssl3', 'xz-utils', 'liblzma5')`,
  },
  {
    title: 'All that can be asked',
    why: 'Every table with its columns, in the endpoint’s own words.',
    sql: `SELECT table_name, column_name, type, about
FROM tables`,
  },
];
