-- DuckDB: the rows below /mnt/rows as `connections`. Hosts are names, even those that look like numbers.
CREATE OR REPLACE VIEW connections AS
SELECT
    *,
    make_timestamp(epoch_us(start_time) // 3600000000 * 3600000000) AS hour, -- UTC
    epoch_us(syn_time) AS syn_us,
    epoch_us(syn_ack_time) AS syn_ack_us
FROM read_parquet(
    '/mnt/rows/date=*/host=*/*.parquet',
    hive_partitioning = true,
    hive_types = {'date': DATE, 'host': VARCHAR},
    union_by_name = true
);
