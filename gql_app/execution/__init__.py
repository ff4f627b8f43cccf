"""How operations are executed. The schema says what; this room makes answers of documents. `transport` brings both.

documents    parsing and validating, with limits, cached
operations   what can be read off a valid document
trusted      documents that are known by an id
limits       what a document may cost
introspection  what an introspection costs
engine       runs operations, and begins subscriptions
direct       resolvers without arguments, called directly
plans        how to read selections, found out once per document
executor     reads them so
subscription what comes of the events of one subscription
snapshots    the present state, which a subscription may tell before the changes
patience     how long a stream waits for a database that is away
plain        a subscription whose events are not those of the change log
sharing      one execution for all subscriptions that get the same answer
answers      what is answered, and what of an error is told
masking      GraphQL's own errors without the values that were sent
"""
