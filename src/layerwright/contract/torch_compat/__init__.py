"""The only place that touches interfaces of torch that are not public; tested on 2.11 and 2.13."""
