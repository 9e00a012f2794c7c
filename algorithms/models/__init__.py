"""Methods that learn a model of the environment.

Modules: `ensemble_fit` (the fit of an ensemble of networks), `pets` (rounds of acting, fitting and
planning).
"""
