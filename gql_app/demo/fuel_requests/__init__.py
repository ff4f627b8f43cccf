"""Fuel requests: somebody asks for fuel, an approver decides once, the requester hears of it."""
