"""What is owed: rules say who is told of a change, the worker tells them.

messages   sms() and email(): what a rule yields
rules      on_change, on_create: run right before the commit, their messages written in the same transaction
models     deliveries and their attempts
claims     what a worker holds, and what came of it
queue      claiming what is due under a lease, writing down what came of it
retry      what becomes of a message after an attempt (a pure function)
worker     claims, sends with bounded concurrency, records
senders    what a channel must do, and how it says that it failed
sms · mail · captured   Twilio, SMTP, and the development mailbox
templates · gsm7        texts of mails and SMS
service · graphql       what the API shows of it
"""
