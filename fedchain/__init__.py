"""fedchain: vertical federated learning coordinated by a permissioned EVM chain."""
