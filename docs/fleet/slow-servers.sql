-- Which servers are far away, or slow to answer?
-- A connection's round-trip time is the sum of those to both ends, wherever between them it was captured.
WITH times AS (
    SELECT server_ip, server_port, client_rtt_p50_us + server_rtt_p50_us AS rtt_us
    FROM connections
    WHERE client_rtt_p50_us IS NOT NULL AND server_rtt_p50_us IS NOT NULL
)
SELECT
    server_ip,
    server_port,
    count(*) AS connections,
    round(percentile_cont(0.5) WITHIN GROUP (ORDER BY rtt_us) / 1000, 1) AS p50_ms,
    round(percentile_cont(0.95) WITHIN GROUP (ORDER BY rtt_us) / 1000, 1) AS p95_ms
FROM times
GROUP BY server_ip, server_port
HAVING count(*) >= 10
ORDER BY p95_ms DESC, server_ip, server_port
LIMIT 20;
