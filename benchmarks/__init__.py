"""`make bench`: the whole service as a process of its own, under load, beside what one could use instead.

What is measured is listed in `workloads`; the words of each contestant are in `contestants`.

- `sizes`: how much of everything; `data`: the same people and requests in each contestant's SQLite file
- `servers`: a contestant as a process on the first core, with its CPU time and memory
- `loop`, `http_load`, `socket_load`: the load generator, one thread on the second core
- `work_*`: the workloads; `results`: JSON lines and the table; `plot`: docs/images/fanout.svg

Needs Linux: epoll and /proc. Figures of one machine at one moment: only ratios within one run mean anything.
"""
