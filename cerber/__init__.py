"""Cerber: a payment gateway for person-to-person e-wallet transfers."""
