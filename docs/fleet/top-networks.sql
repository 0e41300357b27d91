-- Which networks, of /24 or /48, send and receive most?
WITH clients AS (
    SELECT
        CASE
            WHEN client_ip NOT LIKE '%:%' THEN regexp_replace(client_ip, '[.][0-9]+$', '.0/24')
            ELSE regexp_replace(
                -- Three groups, of which the last are left out if they are 0.
                concat(regexp_extract(client_ip, '^(([0-9a-f]+:){1,3}|:)', 0), ':/48'),
                '(:0)*::/48$',
                '::/48'
            )
        END AS network,
        client_ip,
        client_payload_bytes,
        server_payload_bytes
    FROM connections
)
SELECT
    network,
    count(*) AS connections,
    count(DISTINCT client_ip) AS clients,
    sum(client_payload_bytes) AS sent_bytes,
    sum(server_payload_bytes) AS received_bytes
FROM clients
GROUP BY network
ORDER BY sum(client_payload_bytes + server_payload_bytes) DESC, network
LIMIT 20;
