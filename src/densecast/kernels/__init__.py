"""The few compiled loops that decide speed."""
