-- Where is sent again what had arrived, and why?
-- Many by timeout: delays vary more than senders expect. Many of them with reordering: the network has several paths.
SELECT
    host,
    server_port,
    sum(client_retransmit_packets + server_retransmit_packets) AS sent_again,
    sum(client_timeout_retransmit_packets + server_timeout_retransmit_packets) AS by_timeout,
    sum(client_reordered_packets + server_reordered_packets) AS reordered,
    sum(client_spurious_retransmit_packets + server_spurious_retransmit_packets) AS needless,
    round(
        100 * (sum(client_spurious_retransmit_packets + server_spurious_retransmit_packets)
            / sum(client_retransmit_packets + server_retransmit_packets)),
        1
    ) AS percent_needless
FROM connections
GROUP BY host, server_port
HAVING sum(client_spurious_retransmit_packets + server_spurious_retransmit_packets) > 0
ORDER BY needless DESC, host, server_port
LIMIT 20;
