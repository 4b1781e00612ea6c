-- What eventyard wrote into its store at version 1 of the schema (commit 8d0a893, with small segments of ids and small steps), row by row:
-- buses in use and one being emptied; rules live, paused, backfilling, waiting to be read, and being deleted; intents half done;
-- deliveries of every state; ids in closed segments, in a slice, and in none yet. It goes onto 0001_first.sql.

INSERT INTO bus VALUES (0, CAST('{"number":0,"name":"system","incarnation":"life0","created_ms":1700000000000,"is_deleted":false,"is_removed":false}' AS BLOB), 4, 1700000003750, 3750);
INSERT INTO bus VALUES (1, CAST('{"number":1,"name":"default","incarnation":"life1","created_ms":1700000000000,"is_deleted":false,"is_removed":false}' AS BLOB), 27, 1700000003750, 3750);
INSERT INTO bus VALUES (2, CAST('{"number":2,"name":"orders","incarnation":"life-orders","created_ms":1700000000000,"is_deleted":false,"is_removed":false}' AS BLOB), 3, 1700000001000, 1000);
INSERT INTO bus VALUES (3, CAST('{"number":3,"name":"gone","incarnation":"life-gone","created_ms":1700000000000,"is_deleted":true,"is_removed":false}' AS BLOB), 3, 1700000001000, 1000);

INSERT INTO event VALUES (1, 1700000000000, X'6d6fadb2afcececa77ff98edad8fc1d2', 2552897472, CAST('{"specversion":"1.0","id":"life0-1","source":"/eventyard/buses/system","type":"io.eventyard.bus.created","subject":"default","time":"2023-11-14T22:13:20.000Z","data":{"name":"default","principal":""}}' AS BLOB));
INSERT INTO event VALUES (2, 1700000000000, X'7d232af59850c1c8727671d360214060', 1205306435, CAST('{"specversion":"1.0","id":"life0-2","source":"/eventyard/buses/system","type":"io.eventyard.bus.created","subject":"orders","time":"2023-11-14T22:13:20.000Z","data":{"name":"orders","principal":""}}' AS BLOB));
INSERT INTO event VALUES (3, 1700000000000, X'33003245ff90001e35f6c44a9ecb9eea', 3664396538, CAST('{"specversion":"1.0","id":"life0-3","source":"/eventyard/buses/system","type":"io.eventyard.bus.created","subject":"gone","time":"2023-11-14T22:13:20.000Z","data":{"name":"gone","principal":""}}' AS BLOB));
INSERT INTO event VALUES (4, 1700000003750, X'97d0f0bbb640f7c45ecbb9fb6c32adb3', 1437454827, CAST('{"specversion":"1.0","id":"life0-4","source":"/eventyard/buses/system","type":"io.eventyard.bus.deleted","subject":"gone","time":"2023-11-14T22:13:23.750Z","data":{"name":"gone","principal":""}}' AS BLOB));
INSERT INTO event VALUES (17592186044417, 1700000001000, X'83ec485eaea47d1d67954c87cd5c27bc', 1006431278, CAST('{"specversion":"1.0","id":"life1-1","source":"/eventyard/buses/default","type":"io.eventyard.rule.created","subject":"rewards","time":"2023-11-14T22:13:21.000Z","data":{"name":"rewards","principal":"","rule":{"delivery":{"backoff":{"factor":2.0,"initial_s":1.0,"max_s":600.0},"concurrency":16,"max_age_s":86400.0,"max_attempts":185,"order":"none"},"description":"","owner":"","pattern":{"type":["order.paid"]},"start":"latest","target":{"http":{"mode":"structured","timeout_s":10.0,"url":"http://127.0.0.1:9/events"}}},"uid":1}}' AS BLOB));
INSERT INTO event VALUES (17592186044418, 1700000001000, X'081e77d05c4c26fea8b7a09eb0ade8fe', 4056394135, CAST('{"specversion":"1.0","id":"life1-2","source":"/eventyard/buses/default","type":"io.eventyard.rule.created","subject":"old","time":"2023-11-14T22:13:21.000Z","data":{"name":"old","principal":"","rule":{"delivery":{"backoff":{"factor":2.0,"initial_s":1.0,"max_s":600.0},"concurrency":16,"max_age_s":86400.0,"max_attempts":185,"order":"none"},"description":"","owner":"","pattern":{"type":["order.old"]},"start":"latest","target":{"http":{"mode":"structured","timeout_s":10.0,"url":"http://127.0.0.1:9/events"}}},"uid":2}}' AS BLOB));
INSERT INTO event VALUES (17592186044419, 1700000001000, X'1745693423ba95ab6aef5cfc706a161e', 248893299, CAST('{"specversion":"1.0","id":"life1-3","source":"/eventyard/buses/default","type":"io.eventyard.rule.created","subject":"flaky","time":"2023-11-14T22:13:21.000Z","data":{"name":"flaky","principal":"","rule":{"delivery":{"backoff":{"factor":2.0,"initial_s":1.0,"max_s":600.0},"concurrency":16,"max_age_s":60.0,"max_attempts":3,"order":"none"},"description":"","owner":"","pattern":{"type":["order.flaky"]},"start":"latest","target":{"http":{"mode":"structured","timeout_s":10.0,"url":"http://127.0.0.1:9/events"}}},"uid":3}}' AS BLOB));
INSERT INTO event VALUES (17592186044420, 1700000002000, X'beb3eaee94470d6ab9012f65fa918237', 3704285519, CAST('{"specversion":"1.0","id":"e1","source":"/shop","type":"order.paid","data":{"n":1}}' AS BLOB));
INSERT INTO event VALUES (17592186044421, 1700000002000, X'b9d396b942b7d5d33c46479911f2f429', 3443198398, CAST('{"specversion":"1.0","id":"e2","source":"/shop","type":"order.paid","data":{"n":2}}' AS BLOB));
INSERT INTO event VALUES (17592186044422, 1700000002000, X'c71f44eee55a04ee1781d750ab8bfa0a', 1020522960, CAST('{"specversion":"1.0","id":"e3","source":"/shop","type":"order.paid","data":{"n":3}}' AS BLOB));
INSERT INTO event VALUES (17592186044423, 1700000002000, X'785d3159c5ae0db0c1f2244745c1399e', 119380514, CAST('{"specversion":"1.0","id":"e4","source":"/shop","type":"order.paid","data":{"n":4}}' AS BLOB));
INSERT INTO event VALUES (17592186044424, 1700000002000, X'1828270a696720a5b6e125e41e65a19d', 2006391035, CAST('{"specversion":"1.0","id":"e5","source":"/shop","type":"order.paid","data":{"n":5}}' AS BLOB));
INSERT INTO event VALUES (17592186044425, 1700000002000, X'ef5a8a3b09b2f0e89b2db15b5b2e2920', 793118592, CAST('{"specversion":"1.0","id":"e6","source":"/shop","type":"order.paid","data":{"n":6}}' AS BLOB));
INSERT INTO event VALUES (17592186044426, 1700000002000, X'5d6f398647aa9199f9e2fdce89c75701', 3887158807, CAST('{"specversion":"1.0","id":"e7","source":"/shop","type":"order.paid","data":{"n":7}}' AS BLOB));
INSERT INTO event VALUES (17592186044427, 1700000002000, X'e38ac9461720e5e23dd73d1339d2f3b7', 3652262569, CAST('{"specversion":"1.0","id":"e8","source":"/shop","type":"order.paid","data":{"n":8}}' AS BLOB));
INSERT INTO event VALUES (17592186044428, 1700000002000, X'8f63237e658a7261fc13e77196161642', 2189203675, CAST('{"specversion":"1.0","id":"eold-1","source":"/shop","type":"order.old","data":{"n":"old-1"}}' AS BLOB));
INSERT INTO event VALUES (17592186044429, 1700000002000, X'675748c1f8f0d3f48d78f856a30d06ed', 77092601, CAST('{"specversion":"1.0","id":"eold-2","source":"/shop","type":"order.old","data":{"n":"old-2"}}' AS BLOB));
INSERT INTO event VALUES (17592186044430, 1700000002000, X'd2a2968bfad7076d08757ad3c0487a4a', 1801855823, CAST('{"specversion":"1.0","id":"eold-3","source":"/shop","type":"order.old","data":{"n":"old-3"}}' AS BLOB));
INSERT INTO event VALUES (17592186044431, 1700000002000, X'43b5387ae7d55ba81e27f318dad50268', 1694092724, CAST('{"specversion":"1.0","id":"eold-4","source":"/shop","type":"order.old","data":{"n":"old-4"}}' AS BLOB));
INSERT INTO event VALUES (17592186044432, 1700000002000, X'1ea527f12780b363d72c02243f105af3', 1764920703, CAST('{"specversion":"1.0","id":"eold-5","source":"/shop","type":"order.old","data":{"n":"old-5"}}' AS BLOB));
INSERT INTO event VALUES (17592186044433, 1700000002000, X'619a46bbeae51fb4ac701178fd023bf0', 1161312999, CAST('{"specversion":"1.0","id":"eflaky-1","source":"/shop","type":"order.flaky","data":{"n":"flaky-1"}}' AS BLOB));
INSERT INTO event VALUES (17592186044434, 1700000002000, X'e4b0c9a3bd9bf2b9687ce6e617f8afc7', 771792694, CAST('{"specversion":"1.0","id":"eflaky-2","source":"/shop","type":"order.flaky","data":{"n":"flaky-2"}}' AS BLOB));
INSERT INTO event VALUES (17592186044435, 1700000002000, X'b23f799cf903868a3a3d98c9cd41a329', 2608323575, CAST('{"specversion":"1.0","id":"eflaky-3","source":"/shop","type":"order.flaky","data":{"n":"flaky-3"}}' AS BLOB));
INSERT INTO event VALUES (17592186044436, 1700000002000, X'c36bc05d9f0f7034187d2cb891b09efe', 2443891066, CAST('{"specversion":"1.0","id":"eflaky-4","source":"/shop","type":"order.flaky","data":{"n":"flaky-4"}}' AS BLOB));
INSERT INTO event VALUES (17592186044437, 1700000002000, X'79fe906f3c7a660318f185f1ce8c2cca', 2172990394, CAST('{"specversion":"1.0","id":"eflaky-5","source":"/shop","type":"order.flaky","data":{"n":"flaky-5"}}' AS BLOB));
INSERT INTO event VALUES (17592186044438, 1700000003250, X'33d6f8856dfce989d3038f66ff2f0521', 921399832, CAST('{"specversion":"1.0","id":"life1-22","source":"/eventyard/buses/default","type":"io.eventyard.rule.changed","subject":"rewards","time":"2023-11-14T22:13:23.250Z","data":{"name":"rewards","principal":"","rule":{"delivery":{"backoff":{"factor":2.0,"initial_s":1.0,"max_s":600.0},"concurrency":16,"max_age_s":86400.0,"max_attempts":185,"order":"none"},"description":"Reward points for paid orders","owner":"team-rewards","pattern":{"type":["order.paid"]},"start":"latest","target":{"http":{"mode":"structured","timeout_s":10.0,"url":"http://127.0.0.1:9/events"}}},"uid":1}}' AS BLOB));
INSERT INTO event VALUES (17592186044439, 1700000003250, X'ff72f4aa346927eedf8a666d2759aaa0', 1286878907, CAST('{"specversion":"1.0","id":"life1-23","source":"/eventyard/buses/default","type":"io.eventyard.rule.created","subject":"late","time":"2023-11-14T22:13:23.250Z","data":{"name":"late","principal":"","rule":{"delivery":{"backoff":{"factor":2.0,"initial_s":1.0,"max_s":600.0},"concurrency":16,"max_age_s":86400.0,"max_attempts":185,"order":"none"},"description":"","owner":"","pattern":{"type":["order.paid","order.old"]},"start":"earliest","target":{"http":{"mode":"structured","timeout_s":10.0,"url":"http://127.0.0.1:9/events"}}},"uid":23}}' AS BLOB));
INSERT INTO event VALUES (17592186044440, 1700000003250, X'a062e19685d2e8e1ec938d6f3d17886e', 3574067524, CAST('{"specversion":"1.0","id":"life1-24","source":"/eventyard/buses/default","type":"io.eventyard.rule.created","subject":"unread","time":"2023-11-14T22:13:23.250Z","data":{"name":"unread","principal":"","rule":{"delivery":{"backoff":{"factor":2.0,"initial_s":1.0,"max_s":600.0},"concurrency":16,"max_age_s":86400.0,"max_attempts":185,"order":"none"},"description":"","owner":"","pattern":{"type":[{"prefix":"order."}]},"start":"earliest","target":{"http":{"mode":"structured","timeout_s":10.0,"url":"http://127.0.0.1:9/events"}}},"uid":24}}' AS BLOB));
INSERT INTO event VALUES (17592186044441, 1700000003250, X'03f1a3bc5d76545279c1d12942482ab0', 177731378, CAST('{"specversion":"1.0","id":"life1-25","source":"/eventyard/buses/default","type":"io.eventyard.rule.deleted","subject":"old","time":"2023-11-14T22:13:23.250Z","data":{"name":"old","principal":"","rule":{"delivery":{"backoff":{"factor":2.0,"initial_s":1.0,"max_s":600.0},"concurrency":16,"max_age_s":86400.0,"max_attempts":185,"order":"none"},"description":"","owner":"","pattern":{"type":["order.old"]},"start":"latest","target":{"http":{"mode":"structured","timeout_s":10.0,"url":"http://127.0.0.1:9/events"}}},"uid":2}}' AS BLOB));
INSERT INTO event VALUES (17592186044442, 1700000003250, X'3f3b8491e67072913ffa8d569038414d', 1737222863, CAST('{"specversion":"1.0","id":"life1-26","source":"/eventyard/buses/default","type":"io.eventyard.rule.redriven","subject":"flaky","time":"2023-11-14T22:13:23.250Z","data":{"all":true,"name":"flaky","principal":"","uid":3}}' AS BLOB));
INSERT INTO event VALUES (17592186044443, 1700000003750, X'5c00f1a9a8fc9f368ba82562a167051e', 1775561973, CAST('{"specversion":"1.0","id":"elast","source":"/shop","type":"order.paid","data":{"n":"last"}}' AS BLOB));
INSERT INTO event VALUES (35184372088833, 1700000001000, X'2145e63934f4ffaf2713a8baad59b261', 2646723614, CAST('{"specversion":"1.0","id":"life-orders-1","source":"/eventyard/buses/orders","type":"io.eventyard.rule.created","subject":"copy","time":"2023-11-14T22:13:21.000Z","data":{"name":"copy","principal":"","rule":{"delivery":{"backoff":{"factor":2.0,"initial_s":1.0,"max_s":600.0},"concurrency":16,"max_age_s":86400.0,"max_attempts":185,"order":"none"},"description":"","owner":"","pattern":{"type":["order.paid"]},"start":"latest","target":{"http":{"mode":"structured","timeout_s":10.0,"url":"http://127.0.0.1:9/events"}}},"uid":1}}' AS BLOB));
INSERT INTO event VALUES (35184372088834, 1700000001000, X'73308e39c95a678ebc12b2cf406c7fc4', 2421063684, CAST('{"specversion":"1.0","id":"life-orders-2","source":"/eventyard/buses/orders","type":"io.eventyard.rule.paused","subject":"copy","time":"2023-11-14T22:13:21.000Z","data":{"name":"copy","principal":"","rule":{"delivery":{"backoff":{"factor":2.0,"initial_s":1.0,"max_s":600.0},"concurrency":16,"max_age_s":86400.0,"max_attempts":185,"order":"none"},"description":"","owner":"","pattern":{"type":["order.paid"]},"start":"latest","target":{"http":{"mode":"structured","timeout_s":10.0,"url":"http://127.0.0.1:9/events"}}},"uid":1}}' AS BLOB));
INSERT INTO event VALUES (35184372088835, 1700000001000, X'3b2c13417532c085d42ea917c674ca3d', 2310355374, CAST('{"specversion":"1.0","id":"eo-1","source":"/shop","type":"order.paid","data":{"n":"o-1"}}' AS BLOB));
INSERT INTO event VALUES (52776558133249, 1700000001000, X'55cb5d1249bb7f8e81df993b644b6aad', 4125737552, CAST('{"specversion":"1.0","id":"life-gone-1","source":"/eventyard/buses/gone","type":"io.eventyard.rule.created","subject":"g","time":"2023-11-14T22:13:21.000Z","data":{"name":"g","principal":"","rule":{"delivery":{"backoff":{"factor":2.0,"initial_s":1.0,"max_s":600.0},"concurrency":16,"max_age_s":86400.0,"max_attempts":185,"order":"none"},"description":"","owner":"","pattern":{"type":["order.paid"]},"start":"latest","target":{"http":{"mode":"structured","timeout_s":10.0,"url":"http://127.0.0.1:9/events"}}},"uid":1}}' AS BLOB));
INSERT INTO event VALUES (52776558133250, 1700000001000, X'c03dd53a27dd67da463b125418273187', 2234479344, CAST('{"specversion":"1.0","id":"eg-1","source":"/shop","type":"order.paid","data":{"n":"g-1"}}' AS BLOB));
INSERT INTO event VALUES (52776558133251, 1700000001000, X'56ff3c54582e01b3fb361eabc9b0c77e', 3201185630, CAST('{"specversion":"1.0","id":"eg-2","source":"/shop","type":"order.paid","data":{"n":"g-2"}}' AS BLOB));

INSERT INTO delivery VALUES (1, 4, 1, 0, 2, 1700000002250, 1, 1, 0, X'');
INSERT INTO delivery VALUES (1, 4, 23, 0, 0, 3250, 0, 0, 0, X'');
INSERT INTO delivery VALUES (1, 5, 1, 0, 3, 1700000002250, 1, 1, 0, CAST('{"reason":"answer","status":422,"answer":"no such customer","at_ms":1700000002250}' AS BLOB));
INSERT INTO delivery VALUES (1, 6, 1, 0, 0, 62250, 1, 1, 2000, CAST('{"status":503,"answer":"busy"}' AS BLOB));
INSERT INTO delivery VALUES (1, 7, 1, 0, 1, 42000, 1, 1, 2000, X'');
INSERT INTO delivery VALUES (1, 8, 1, 0, 1, 42000, 1, 1, 2000, X'');
INSERT INTO delivery VALUES (1, 9, 1, 0, 1, 42000, 1, 1, 2000, X'');
INSERT INTO delivery VALUES (1, 10, 1, 0, 1, 42000, 1, 1, 2000, X'');
INSERT INTO delivery VALUES (1, 11, 1, 0, 1, 42000, 1, 1, 2000, X'');
INSERT INTO delivery VALUES (1, 12, 2, 0, 4, 1700000003250, 0, 0, 0, CAST('{"reason":"rule-deleted","at_ms":1700000003250}' AS BLOB));
INSERT INTO delivery VALUES (1, 13, 2, 0, 4, 1700000003250, 0, 0, 0, CAST('{"reason":"rule-deleted","at_ms":1700000003250}' AS BLOB));
INSERT INTO delivery VALUES (1, 14, 2, 0, 0, 2000, 0, 0, 0, X'');
INSERT INTO delivery VALUES (1, 15, 2, 0, 0, 2000, 0, 0, 0, X'');
INSERT INTO delivery VALUES (1, 16, 2, 0, 0, 2000, 0, 0, 0, X'');
INSERT INTO delivery VALUES (1, 17, 3, 0, 0, 3250, 0, 1, 0, CAST('{"reason":"attempts","failure":"connection refused","at_ms":1700000002250}' AS BLOB));
INSERT INTO delivery VALUES (1, 18, 3, 0, 0, 3250, 0, 1, 0, CAST('{"reason":"attempts","failure":"connection refused","at_ms":1700000002250}' AS BLOB));
INSERT INTO delivery VALUES (1, 19, 3, 0, 3, 1700000002250, 1, 1, 0, CAST('{"reason":"attempts","failure":"connection refused","at_ms":1700000002250}' AS BLOB));
INSERT INTO delivery VALUES (1, 20, 3, 0, 3, 1700000002250, 1, 1, 0, CAST('{"reason":"attempts","failure":"connection refused","at_ms":1700000002250}' AS BLOB));
INSERT INTO delivery VALUES (1, 21, 3, 0, 3, 1700000002250, 1, 1, 0, CAST('{"reason":"attempts","failure":"connection refused","at_ms":1700000002250}' AS BLOB));
INSERT INTO delivery VALUES (1, 27, 1, 0, 0, 3750, 0, 0, 0, X'');
INSERT INTO delivery VALUES (2, 3, 1, 0, 0, 1000, 0, 0, 0, X'');
INSERT INTO delivery VALUES (3, 2, 1, 0, 0, 1000, 0, 0, 0, X'');
INSERT INTO delivery VALUES (3, 3, 1, 0, 0, 1000, 0, 0, 0, X'');

INSERT INTO tally VALUES (1, 1, 2, 5, 1, 1, 0);
INSERT INTO tally VALUES (1, 2, 3, 0, 0, 0, 2);
INSERT INTO tally VALUES (1, 3, 2, 0, 0, 3, 0);
INSERT INTO tally VALUES (1, 23, 1, 0, 0, 0, 0);
INSERT INTO tally VALUES (2, 1, 1, 0, 0, 0, 0);
INSERT INTO tally VALUES (3, 1, 2, 0, 0, 0, 0);

INSERT INTO rule VALUES (1, 1, CAST('{"uid":1,"name":"rewards","version":22,"rule":{"pattern":{"type": ["order.paid"]},"target":{"http":{"url":"http://127.0.0.1:9/events","mode":"structured","timeout_s":10.0}},"start":"latest","delivery":{"max_attempts":185,"max_age_s":86400.0,"backoff":{"initial_s":1.0,"factor":2.0,"max_s":600.0},"order":"none","concurrency":16},"description":"Reward points for paid orders","owner":"team-rewards"},"status":"live","created_ms":1700000001000,"changed_ms":1700000003250,"is_paused":false,"run":0}' AS BLOB));
INSERT INTO rule VALUES (1, 2, CAST('{"uid":2,"name":"old","version":25,"rule":{"pattern":{"type": ["order.old"]},"target":{"http":{"url":"http://127.0.0.1:9/events","mode":"structured","timeout_s":10.0}},"start":"latest","delivery":{"max_attempts":185,"max_age_s":86400.0,"backoff":{"initial_s":1.0,"factor":2.0,"max_s":600.0},"order":"none","concurrency":16},"description":"","owner":""},"status":"deleting","created_ms":1700000001000,"changed_ms":1700000003250,"is_paused":false,"run":0}' AS BLOB));
INSERT INTO rule VALUES (1, 3, CAST('{"uid":3,"name":"flaky","version":3,"rule":{"pattern":{"type": ["order.flaky"]},"target":{"http":{"url":"http://127.0.0.1:9/events","mode":"structured","timeout_s":10.0}},"start":"latest","delivery":{"max_attempts":3,"max_age_s":60.0,"backoff":{"initial_s":1.0,"factor":2.0,"max_s":600.0},"order":"none","concurrency":16},"description":"","owner":""},"status":"live","created_ms":1700000001000,"changed_ms":1700000001000,"is_paused":false,"run":0}' AS BLOB));
INSERT INTO rule VALUES (1, 23, CAST('{"uid":23,"name":"late","version":23,"rule":{"pattern":{"type": ["order.paid", "order.old"]},"target":{"http":{"url":"http://127.0.0.1:9/events","mode":"structured","timeout_s":10.0}},"start":"earliest","delivery":{"max_attempts":185,"max_age_s":86400.0,"backoff":{"initial_s":1.0,"factor":2.0,"max_s":600.0},"order":"none","concurrency":16},"description":"","owner":""},"status":"backfilling","created_ms":1700000003250,"changed_ms":1700000003250,"is_paused":false,"run":0}' AS BLOB));
INSERT INTO rule VALUES (1, 24, CAST('{"uid":24,"name":"unread","version":24,"rule":{"pattern":{"type": [{"prefix": "order."}]},"target":{"http":{"url":"http://127.0.0.1:9/events","mode":"structured","timeout_s":10.0}},"start":"earliest","delivery":{"max_attempts":185,"max_age_s":86400.0,"backoff":{"initial_s":1.0,"factor":2.0,"max_s":600.0},"order":"none","concurrency":16},"description":"","owner":""},"status":"backfilling","created_ms":1700000003250,"changed_ms":1700000003250,"is_paused":false,"run":0}' AS BLOB));
INSERT INTO rule VALUES (2, 1, CAST('{"uid":1,"name":"copy","version":1,"rule":{"pattern":{"type": ["order.paid"]},"target":{"http":{"url":"http://127.0.0.1:9/events","mode":"structured","timeout_s":10.0}},"start":"latest","delivery":{"max_attempts":185,"max_age_s":86400.0,"backoff":{"initial_s":1.0,"factor":2.0,"max_s":600.0},"order":"none","concurrency":16},"description":"","owner":""},"status":"live","created_ms":1700000001000,"changed_ms":1700000001000,"is_paused":true,"run":0}' AS BLOB));
INSERT INTO rule VALUES (3, 1, CAST('{"uid":1,"name":"g","version":1,"rule":{"pattern":{"type": ["order.paid"]},"target":{"http":{"url":"http://127.0.0.1:9/events","mode":"structured","timeout_s":10.0}},"start":"latest","delivery":{"max_attempts":185,"max_age_s":86400.0,"backoff":{"initial_s":1.0,"factor":2.0,"max_s":600.0},"order":"none","concurrency":16},"description":"","owner":""},"status":"live","created_ms":1700000001000,"changed_ms":1700000001000,"is_paused":false,"run":0}' AS BLOB));

INSERT INTO backfill VALUES (1, 23, CAST('{"rule":23,"run":0,"next_position":5,"is_done":false}' AS BLOB));
INSERT INTO backfill VALUES (1, 24, CAST('{"rule":24,"run":0,"next_position":1,"is_done":false}' AS BLOB));

INSERT INTO intent VALUES (1, 25, CAST('{"number":25,"rule":2,"kind":"discard","after_position":0,"after_run":-1,"until_ms":0,"is_done":false}' AS BLOB));
INSERT INTO intent VALUES (1, 26, CAST('{"number":26,"rule":3,"kind":"redrive","after_position":18,"after_run":0,"until_ms":1700000003250,"is_done":false}' AS BLOB));

INSERT INTO id_segment VALUES (17592186044416, 0, 11, 1700000002000);
INSERT INTO id_segment VALUES (17592186044417, 12, 16, 1700000002000);
INSERT INTO id_segment VALUES (17592186044418, 17, 21, 1700000002000);
INSERT INTO id_segment VALUES (17592186044419, 22, 26, 1700000003250);

INSERT INTO id_bucket VALUES (17592186044462, X'9d8009c0da2d022e06000000');
INSERT INTO id_bucket VALUES (17592186044472, X'd63a67892111353801000000');
INSERT INTO id_bucket VALUES (17592186044474, X'061deb2aaee7a43a0a000000');
INSERT INTO id_bucket VALUES (17592186044478, X'f63077156dfad63e08000000');
INSERT INTO id_bucket VALUES (17592186044546, X'e4e66a75d24c568207000000');
INSERT INTO id_bucket VALUES (17592186044549, X'1b40db2e3f878c850b000000');
INSERT INTO id_bucket VALUES (17592186044611, X'e8118bc04263f1c309000000');
INSERT INTO id_bucket VALUES (17592186044615, X'ed6f2e7ee3e8e5c702000000');
INSERT INTO id_bucket VALUES (17592186044621, X'b02b73d311eee6cd03000000');
INSERT INTO id_bucket VALUES (17592186044628, X'3b30830f52bbb9d405000000');
INSERT INTO id_bucket VALUES (17592186044653, X'2c989b4bf4d516ed04000000');
INSERT INTO id_bucket VALUES (17592186044707, X'0819f720b84e972301000000');
INSERT INTO id_bucket VALUES (17592186044723, X'19c934f34cc8d83302000000');
INSERT INTO id_bucket VALUES (17592186044733, X'55a5e3b90b20023d03000000');
INSERT INTO id_bucket VALUES (17592186044789, X'8713cd953514be7504000000');
INSERT INTO id_bucket VALUES (17592186044858, X'0ec596c3aeb34dba00000000');
INSERT INTO id_bucket VALUES (17592186045021, X'a87962c401b8035d00000000');
INSERT INTO id_bucket VALUES (17592186045027, X'7c55d236541afe6304000000');
INSERT INTO id_bucket VALUES (17592186045042, X'e3852b222a2c3c7201000000');
INSERT INTO id_bucket VALUES (17592186045148, X'df9fb11f2fe639dc02000000');
INSERT INTO id_bucket VALUES (17592186045183, X'8ec81065ce6941ff03000000');
INSERT INTO id_bucket VALUES (17592186045227, X'7fc24ca642ec662b03000000');
INSERT INTO id_bucket VALUES (17592186045298, X'71a27a25a743647200000000');
INSERT INTO id_bucket VALUES (17592186045353, X'ebdd033276e13da901000000');
INSERT INTO id_bucket VALUES (17592186045358, X'a737a1179b4591ae04000000');
INSERT INTO id_bucket VALUES (17592186045423, X'd948887a4ec69def02000000');

INSERT INTO id_slice VALUES (17592186044416, 4009463554, X'0b00000000000000f2dfab1a3dcfcbbdf39d309fcecfab61bcfefce67a6fc35df7ddc7dfee29');
