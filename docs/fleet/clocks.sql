-- Which hosts' clocks differ?
-- By connections that both ends captured: SYN and SYN-ACK travel in opposite directions, so that the mean of
-- their differences is that of the clocks (as in NTP, RFC 5905 8). Positive: `host` is ahead of `other`.
WITH differences AS (
    SELECT
        mine.host AS host,
        theirs.host AS other,
        (mine.syn_us - theirs.syn_us + mine.syn_ack_us - theirs.syn_ack_us) / 2 AS ahead_us
    FROM connections AS mine
    JOIN connections AS theirs
        ON mine.community_id = theirs.community_id
        AND mine.host < theirs.host
        AND abs(mine.syn_us - theirs.syn_us) < 60000000
    WHERE mine.syn_ack_us IS NOT NULL AND theirs.syn_ack_us IS NOT NULL
)
SELECT
    host,
    other,
    count(*) AS connections,
    round(percentile_cont(0.5) WITHIN GROUP (ORDER BY ahead_us) / 1000, 2) AS ahead_ms
FROM differences
GROUP BY host, other
HAVING count(*) >= 3
ORDER BY abs(ahead_ms) DESC, host, other
LIMIT 20;
