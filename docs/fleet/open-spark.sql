-- Spark SQL: the rows below /mnt/rows as `connections`. Hosts are names, even those that look like numbers.
SET spark.sql.session.timeZone = UTC;
SET spark.sql.sources.partitionColumnTypeInference.enabled = false;
CREATE OR REPLACE TEMPORARY VIEW files USING parquet OPTIONS (path '/mnt/rows', mergeSchema 'true');
CREATE OR REPLACE TEMPORARY VIEW connections AS
SELECT
    *,
    date_trunc('HOUR', start_time) AS hour,
    unix_micros(syn_time) AS syn_us,
    unix_micros(syn_ack_time) AS syn_ack_us
FROM files;
