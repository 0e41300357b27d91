-- Which transfers waited for an application that did not read?
-- An end whose window is closed has a full buffer: neither the network nor the sender is the limit.
WITH transfers AS (
    SELECT
        date, host, uuid, duration_us,
        client_ip AS reader_ip, server_ip AS sender_ip,
        server_goodput_bytes AS bytes, client_zero_window_us AS closed_us
    FROM connections
    UNION ALL
    SELECT
        date, host, uuid, duration_us,
        server_ip AS reader_ip, client_ip AS sender_ip,
        client_goodput_bytes AS bytes, server_zero_window_us AS closed_us
    FROM connections
)
SELECT
    date,
    host,
    uuid,
    reader_ip,
    sender_ip,
    bytes,
    round(closed_us / 1000, 1) AS closed_ms,
    round(100 * (closed_us / duration_us), 1) AS percent_of_time
FROM transfers
WHERE closed_us > 0 AND closed_us >= 0.1 * duration_us
ORDER BY closed_us DESC, uuid
LIMIT 20;
