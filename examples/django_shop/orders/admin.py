"""The shop's own admin pages; those of runs, steps and events come with inngest_celery.django."""

from django.contrib import admin

from orders.models import Item, Order

admin.site.register(Item)
admin.site.register(Order)
