"""Packages that import the types of others: what both use is one class, on both sides of a connection."""

import importlib
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import enkaku
import pytest
from generated.packages import importing
from golden.refresh import IMPORTS
from support import Connect


@pytest.fixture
def trade() -> Iterator[ModuleType]:
    with importing("trade", IMPORTS / "python") as module:
        for name in ("money", "orders", "shop"):
            importlib.import_module(f"trade.{name}")
        yield module


def test_packages_use_one_class_of_shared_definition(trade: Any) -> None:
    price = trade.money.Money(amount=1, currency="EUR")
    order = trade.orders.Order(item="tea", price=price)
    offer = trade.shop.Offer(order=order, total=price)
    slots = (trade.orders.PLACE.param, trade.shop.OFFER_MAKE.result)
    for slot, value in zip(slots, (order, offer), strict=True):
        read = slot.decode(slot.encode(value))
        assert read == value
        assert type(read) is type(value)
    read = trade.shop.OFFER_MAKE.result.decode(slots[1].encode(offer))
    assert type(read.order) is trade.orders.Order
    assert type(read.order.price) is type(read.total) is trade.money.Money
    assert trade.shop.OFFER_MAKE.param.type_form is trade.orders.Order


def test_importing_package_has_no_class_of_its_own(trade: Any) -> None:
    assert {"Money", "Order", "NotFound", "Weight"}.isdisjoint(trade.shop.__all__)
    assert trade.shop.OFFER_MAKE.errors == (trade.orders.NotFound,)
    assert trade.orders.FIND.errors == (trade.orders.NotFound,)


def test_imported_secret_is_hidden_in_importing_package(trade: Any) -> None:
    card = trade.shop.OFFER_PAY.data.decode(b'{"by": "card", "number": "4242"}')
    assert type(card).__module__ == "trade.money.models"
    assert "4242" not in repr(card)


@pytest.mark.parametrize(
    ("value", "accepted"), [(b"4", True), (b"5", False), (b"6", False), (b'"a"', False)]
)
def test_imported_type_is_validated_where_it_is_not_exact(
    trade: Any, value: bytes, accepted: bool
) -> None:
    slot = trade.shop.OFFER_WATCH.result
    if accepted:
        assert slot.encode(slot.decode(value)) == value
    else:
        with pytest.raises(enkaku.DecodeError, match="offer/watch result"):
            slot.decode(value)


async def test_shared_classes_cross_one_connection(trade: Any, connect: Connect) -> None:
    money, orders, shop = trade.money, trade.orders, trade.shop

    class Orders(orders.OrdersHandler):  # type: ignore[misc] # a class of a module that is generated
        async def place(self, param: Any) -> int:
            assert type(param.price) is money.Money
            return 1

        async def find(self, param: int) -> Any:
            price = money.Money(amount=param, currency="JPY")
            if param == 0:
                raise orders.NotFound("none", orders.NotFoundData(refund=price))
            return orders.Order(item="tea", price=price)

    class Shop(shop.ShopHandler):  # type: ignore[misc] # as above
        async def offer_make(self, param: Any) -> Any:
            if param.item == "none":
                raise orders.NotFound("none", orders.NotFoundData(refund=param.price))
            return shop.Offer(order=param, total=param.price)

        async def offer_pay(self, data: Any) -> None: ...

        async def offer_watch(self, param: Any, stream: Any) -> int:
            for currency in param:
                await stream.send(money.Money(amount=1, currency=currency))
            return 2

    handler = enkaku.compose(Orders(), enkaku.prefixed("shop/", Shop()))
    async with connect(handler) as connection:
        ordering = orders.OrdersClient(connection)
        shopping = shop.ShopClient(connection, prefix="shop/")
        order = await ordering.find(3)
        offer = await shopping.offer_make(order)
        assert offer.order == order
        assert type(offer.total) is type(order.price) is money.Money
        assert await ordering.place(offer.order) == 1
        async with shopping.offer_watch(["CHF", "SEK"]) as stream:
            assert [type(each) async for each in stream] == [money.Money] * 2
        for call in (
            ordering.find(0),
            shopping.offer_make(order.model_copy(update={"item": "none"})),
        ):
            with pytest.raises(orders.NotFound) as caught:
                await call
            assert type(caught.value.data.refund) is money.Money
