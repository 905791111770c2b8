"""The Django project: how the shop is put together. What it sells is in the application tickets."""
