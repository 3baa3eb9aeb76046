from hypothesis import HealthCheck, settings

# Busy machines make property tests slow, not wrong; speed belongs in benchmarks.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
