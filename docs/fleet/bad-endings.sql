-- Which services do connections fail to reach, or fail at?
-- `timed_out` were given up: no end closed both directions, and what was sent last was not acknowledged in time.
WITH outcomes AS (
    SELECT
        server_ip,
        server_port,
        CASE
            WHEN handshake = 'syn' AND ended = 'rst' THEN 'refused'
            WHEN handshake = 'syn' THEN 'unanswered'
            WHEN ended = 'rst' THEN 'reset'
            WHEN ended IN ('open', 'half')
                AND client_timeout_retransmit_packets + server_timeout_retransmit_packets > 0 THEN 'timed out'
            ELSE 'well'
        END AS outcome
    FROM connections
)
SELECT
    server_ip,
    server_port,
    count(*) AS connections,
    sum(CASE WHEN outcome = 'refused' THEN 1 ELSE 0 END) AS refused,
    sum(CASE WHEN outcome = 'unanswered' THEN 1 ELSE 0 END) AS unanswered,
    sum(CASE WHEN outcome = 'reset' THEN 1 ELSE 0 END) AS reset,
    sum(CASE WHEN outcome = 'timed out' THEN 1 ELSE 0 END) AS timed_out,
    sum(CASE WHEN outcome = 'well' THEN 0 ELSE 1 END) AS bad
FROM outcomes
GROUP BY server_ip, server_port
HAVING sum(CASE WHEN outcome = 'well' THEN 0 ELSE 1 END) > 0
ORDER BY bad DESC, server_ip, server_port
LIMIT 20;
