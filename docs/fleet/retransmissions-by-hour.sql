-- When, and on which hosts, was much of the payload sent again?
SELECT
    hour,
    host,
    count(*) AS connections,
    sum(client_payload_bytes + server_payload_bytes) AS payload_bytes,
    round(
        100 * (sum(client_retransmit_bytes + server_retransmit_bytes)
            / nullif(sum(client_payload_bytes + server_payload_bytes), 0)),
        3
    ) AS percent_sent_again
FROM connections
GROUP BY hour, host
ORDER BY hour, host;
