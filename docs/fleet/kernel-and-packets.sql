-- Do the kernels say what the packets say?
-- A kernel counts for as long as its socket lives, and a capture ends after `--captureduration`: then the kernel
-- says more. Where packets say more, something on the way has doubled or forged packets: look at them.
WITH verdicts AS (
    SELECT
        host,
        kernel_total_retrans AS by_kernel,
        CASE kernel_end WHEN 'client' THEN client_retransmit_packets ELSE server_retransmit_packets END AS by_packets,
        kernel_min_rtt_us
            - CASE kernel_end WHEN 'client' THEN client_min_rtt_us ELSE server_min_rtt_us END AS rtt_difference_us
    FROM connections
    WHERE kernel_total_retrans IS NOT NULL
)
SELECT
    host,
    count(*) AS connections,
    sum(by_kernel) AS sent_again_by_kernel,
    sum(by_packets) AS sent_again_by_packets,
    sum(CASE WHEN by_kernel > by_packets THEN 1 ELSE 0 END) AS kernel_says_more,
    sum(CASE WHEN by_kernel < by_packets THEN 1 ELSE 0 END) AS packets_say_more,
    round(percentile_cont(0.5) WITHIN GROUP (ORDER BY rtt_difference_us), 1) AS median_rtt_difference_us
FROM verdicts
GROUP BY host
ORDER BY host;
