"""What is owed: rules say who is told of a change, the worker tells them.

messages   sms(), email(), message(): what a rule yields
rules      on_change, on_create …: how a vertical declares them
owing      runs them right before the commit, and writes their messages in the same transaction
models     deliveries and their attempts
claims     what a worker holds, and what came of it
due        which messages are due, and in what order
queue      claiming what is due under a lease, writing down what came of it
retry      what becomes of a message after an attempt (a pure function)
worker · workers        claims, sends with bounded concurrency, records; all channels of a process
senders    what a channel must do, and how it says that it failed
sms · mail · captured   Twilio, SMTP, and the development mailbox
texts · values          what a message says: frozen with the change, rendered when it is sent or shown
templates · gsm7        the files that it is rendered from
composing  a mail's headers and parts, byte for byte
service · graphql       what the API shows of it
"""
