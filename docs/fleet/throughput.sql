-- How fast are transfers of a megabyte or more, and what comes along with it?
WITH transfers AS (
    SELECT
        server_goodput_bytes AS bytes, server_goodput_bps AS bps,
        server_payload_bytes AS payload_bytes, server_retransmit_bytes AS retransmit_bytes,
        client_rtt_p50_us + server_rtt_p50_us AS rtt_us
    FROM connections
    UNION ALL
    SELECT
        client_goodput_bytes AS bytes, client_goodput_bps AS bps,
        client_payload_bytes AS payload_bytes, client_retransmit_bytes AS retransmit_bytes,
        client_rtt_p50_us + server_rtt_p50_us AS rtt_us
    FROM connections
),
classes AS (
    SELECT
        *,
        CASE
            WHEN bps < 1000000 THEN 0
            WHEN bps < 10000000 THEN 1
            WHEN bps < 100000000 THEN 10
            WHEN bps < 1000000000 THEN 100
            ELSE 1000
        END AS at_least_mbps
    FROM transfers
    WHERE bytes >= 1000000 AND bps IS NOT NULL
)
SELECT
    at_least_mbps,
    count(*) AS transfers,
    sum(bytes) AS bytes,
    round(percentile_cont(0.5) WITHIN GROUP (ORDER BY rtt_us) / 1000, 1) AS median_rtt_ms,
    round(100 * (sum(retransmit_bytes) / nullif(sum(payload_bytes), 0)), 3) AS percent_sent_again
FROM classes
GROUP BY at_least_mbps
ORDER BY at_least_mbps;
