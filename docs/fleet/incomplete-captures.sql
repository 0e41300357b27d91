-- Of which hosts and days are figures to be doubted?
-- A capture without its SYN began late; bytes in a gap were acknowledged but captured by nobody.
WITH judged AS (
    SELECT
        date,
        host,
        CASE WHEN from_syn THEN 0 ELSE 1 END AS without_syn,
        CASE WHEN client_gap_bytes + server_gap_bytes > 0 THEN 1 ELSE 0 END AS with_gaps,
        CASE WHEN client_truncated_packets + server_truncated_packets > 0 THEN 1 ELSE 0 END AS truncated,
        CASE WHEN client_stray_packets + server_stray_packets > 0 THEN 1 ELSE 0 END AS with_strays
    FROM connections
)
SELECT
    date,
    host,
    count(*) AS connections,
    sum(without_syn) AS without_syn,
    sum(with_gaps) AS with_gaps,
    sum(truncated) AS truncated,
    sum(with_strays) AS with_strays,
    round(
        100 * (sum(CASE WHEN without_syn + with_gaps + truncated + with_strays > 0 THEN 1 ELSE 0 END) / count(*)),
        2
    ) AS percent_incomplete
FROM judged
GROUP BY date, host
ORDER BY percent_incomplete DESC, date, host
LIMIT 20;
