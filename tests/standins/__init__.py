"""Stand-ins for the services the product talks to: real servers on loopback whose faults are scripted.

`tests.standins.twilio` speaks the part of Twilio's REST API that is used, `tests.standins.smtp` speaks SMTP.
Each runs inside a test (`async with TwilioStandIn() as twilio:`) or as a process of its own
(`python -m tests.standins.twilio --port 0 --journal FILE`, which `process.StandInProcess` starts for a test).
"""
