"""Policies with a memory on tasks that need one."""
