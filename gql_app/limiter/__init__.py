"""How much one may ask of us.

addresses    whose address it is that limits count for
limiter      how often something may be done, counted by all processes or by one
memory       the counters of one process
budget       what one may have computed per second
security     the security log
fair         a few threads for many who ask: they take turns
"""

from gql_app.limiter.addresses import is_within, network_of
from gql_app.limiter.budget import Budgets
from gql_app.limiter.fair import NOBODY, FairQueue, Whose
from gql_app.limiter.limiter import Limit, Limiter, Rate, scope_of

__all__ = ["NOBODY", "Budgets", "FairQueue", "Limit", "Limiter", "Rate", "Whose", "is_within", "network_of", "scope_of"]
