-- name: horizon
-- A row bears the time at which its transaction began: whatever bears an earlier one than this is committed. Only
-- sessions of one's own role show their times, and only those write results. Without at_most_s it lies as far back as the
-- oldest transaction.
select greatest(
  now() - %(at_most_s)s::float8 * interval '1 second',
  least(
    now() - interval '1 second',
    (
      select min(xact_start) - interval '1 microsecond'
      from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid()
    )
  )
)
