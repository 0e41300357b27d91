-- Which service fills the disk of which host?
-- A capture file has 24 bytes, and for each packet 16 bytes, 14 of Ethernet, and the headers of IP and TCP;
-- compressed, it takes a part of that.
WITH files AS (
    SELECT
        host,
        server_port,
        packets,
        24 + 30 * packets + client_ip_bytes - client_payload_bytes
            + server_ip_bytes - server_payload_bytes AS file_bytes
    FROM connections
)
SELECT
    host,
    server_port,
    count(*) AS connections,
    sum(packets) AS packets,
    sum(file_bytes) AS uncompressed_bytes,
    round(100 * (sum(file_bytes) / sum(sum(file_bytes)) OVER ()), 2) AS percent
FROM files
GROUP BY host, server_port
ORDER BY uncompressed_bytes DESC, host, server_port
LIMIT 20;
