"""Random units of work, of which the change log must say what happened, or which are refused.

A program is made of a seed. It runs on a real database, beside others, and two judges look at what it left: the
triggers of `tests.witness`, and `gql_app.reconcile`. What one makes by hand is code: the repr of each step.

models      tables with inheritance, cascades and post_update
acting      what steps share, and what a program finds when it begins
objects     steps that change objects
statements  steps that are statements
past        steps past everything that records
frames      steps around steps: savepoints, errors that are caught or made
program     units of work, and rounds of those that run at the same time
generator   a program of a seed
rules       rules that look at what they are handed
cancelling  cancels a unit of work where it waits for the nth time
running     runs programs on a database and collects what is wrong
shrink      the smallest program that fails
known       what programs leave out, and why
"""
